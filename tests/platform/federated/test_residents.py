"""A process that trains clients is of the same federation as the server, or refuses to train."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from federations import job_of, parts_of, sent_of

from trainwright.errors import RunError
from trainwright.federated.processes.residents import Order, _build
from trainwright.federated.processes.site import Site
from trainwright.federated.transport.work import Bin

PARTS = parts_of()
ORDER = Order(
    job=job_of().spec.model_dump(mode="json", by_alias=True),
    base=str(Path.cwd()),
    execution="sequential",
    digest=PARTS.rows.partition.digest(),
    fingerprint=PARTS.assembly.splits.fingerprint,
    plugin_files={},
    weights=None,
    logs=None,
)


def test_it_comes_to_the_same_as_the_server_would() -> None:
    bin, sent = Bin([1, 4], [{}, {}]), sent_of(PARTS)
    mine = _build(ORDER).train(sent, bin)
    theirs = Site(PARTS, "sequential").train(sent, bin)
    assert mine.clients == theirs.clients
    assert torch.equal(mine.sums["update"], theirs.sums["update"])


@pytest.mark.parametrize(
    ("difference", "told"),
    [
        ({"digest": "0" * 32}, "the partition of this process is not that of the server"),
        ({"fingerprint": "0" * 32}, "the data that this process reads is not what the server"),
    ],
)
def test_it_refuses_other_data_and_another_partition(difference: dict[str, str], told: str) -> None:
    with pytest.raises(RunError, match=told):
        _build(replace(ORDER, **difference))
