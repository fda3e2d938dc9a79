"""The samples of an update."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainwright.data.table import Table
from trainwright.data.transforms import TransformChain
from trainwright.job.models import TrainingSpec
from trainwright.strategy import Plan
from trainwright.training.feed import TableFeed
from trainwright.training.orders import Orders
from trainwright.training.timetable import Timetable


def _feeds(
    samples: int, batch: int, world: int, micro: int | None, **options: Any
) -> list[TableFeed]:
    table = Table.from_arrays({"x": torch.arange(float(samples))[:, None]}, {"x": "vector"})
    table = table.subset(torch.arange(samples - 1, -1, -1))
    chain = TransformChain()
    chain.fit(table)
    plan = Plan(2, None, batch, None, {}, {})
    times = Timetable.of(plan, TrainingSpec(), samples, world)
    return [
        TableFeed(
            table,
            chain,
            times,
            orders=Orders(3, **options),
            rank=r,
            world_size=world,
            micro_batch_size=micro,
        )
        for r in range(world)
    ]


@settings(max_examples=40, deadline=None)
@given(st.integers(32, 200), st.integers(32, 64), st.integers(1, 5), st.none() | st.integers(1, 9))
def test_an_epoch_holds_every_sample_once_in_the_same_order_on_any_world(
    samples: int, batch: int, world: int, micro: int | None
) -> None:
    feeds = _feeds(samples, batch, world, micro)
    [alone] = _feeds(samples, batch, 1, None)
    seen: list[int] = []
    for index in range(alone._timetable.steps_per_epoch):
        updates = [feed[index] for feed in feeds]
        assert len({len(update.batches) for update in updates}) == 1
        ids = [i for u in updates for b in u.batches for i in b["sample_id"].tolist()]
        assert ids == alone[index].batches[0]["sample_id"].tolist()
        assert ids == feeds[0].sample_ids(index)
        assert len(ids) == updates[0].size
        seen += ids
    assert sorted(seen) == list(range(samples))


def test_epochs_differ_and_any_update_can_be_asked_for_first() -> None:
    [feed] = _feeds(64, 64, 1, None)
    first, second = feed[0].batches[0]["sample_id"], feed[1].batches[0]["sample_id"]
    assert not torch.equal(first, second)
    [other] = _feeds(64, 64, 1, None)
    assert torch.equal(other[1].batches[0]["sample_id"], second)


def test_without_shuffling_the_table_keeps_its_order() -> None:
    [feed] = _feeds(8, 8, 1, None, shuffle=False)
    assert feed[1].batches[0]["sample_id"].tolist() == list(range(7, -1, -1))


def test_values_belong_to_their_ids() -> None:
    [feed] = _feeds(40, 32, 1, 7)
    for batch in feed[0].batches:
        assert batch["x"][:, 0].tolist() == pytest.approx(batch["sample_id"].tolist())
