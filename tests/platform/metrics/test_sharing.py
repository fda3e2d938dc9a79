"""Metrics over two real processes whose shares differ equal the value over all samples."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
import torch.multiprocessing

UNEQUAL = [[(0, 20), (20, 35), (35, 50)], [(50, 63)]]
ONE_IS_EMPTY = [[(0, 30), (30, 63)], []]


@pytest.fixture
def workers(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return importlib.import_module("metric_workers")


def test_workers_with_unequal_and_empty_shares_agree_with_one_process(workers, tmp_path):
    torch.multiprocessing.spawn(
        workers.run,
        args=([UNEQUAL, ONE_IS_EMPTY], f"file://{tmp_path}/init", str(tmp_path)),
        nprocs=2,
    )
    alone = {name: workers.value_of(name, [(0, 63)]) for name in workers.CASES}
    for rank in range(2):
        by_share = json.loads((tmp_path / f"rank{rank}.json").read_text())
        for found in by_share:
            for name, values in alone.items():
                assert found[name] == pytest.approx(values, rel=1e-5), (rank, name)
