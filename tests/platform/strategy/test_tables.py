"""Per-sample state: folding against a dictionary and a loop, workers, checkpoints."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from trainwright.errors import CheckpointError
from trainwright.strategy import Context
from trainwright.strategy.tables import SampleTable, SampleTables

FOLDS = ("last", "sum", "mean", "max", "min", "running")


def _slow(fold: str, init: float, updates: list[tuple[list[int], list[float]]]) -> list[float]:
    """Rows as Python numbers, one value after the other."""
    rows = [init] * 12
    for ids, values in updates:
        own: dict[int, list[float]] = {}
        for i, value in zip(ids, values, strict=True):
            own.setdefault(i, []).append(value)
        for i, several in own.items():
            for value in several:
                rows[i] = {
                    "last": value,
                    "sum": rows[i] + value,
                    "mean": sum(several) / len(several),
                    "max": max(rows[i], value),
                    "min": min(rows[i], value),
                    "running": value if rows[i] == init else (rows[i] + value) / 2,
                }[fold]
    return rows


def _updates() -> list[tuple[list[int], list[float]]]:
    generator = torch.Generator().manual_seed(0)
    return [
        (
            torch.randint(0, 12, (9,), generator=generator).tolist(),
            torch.randn(9, generator=generator).tolist(),
        )
        for _ in range(4)
    ]


@pytest.mark.parametrize("fold", FOLDS)
def test_values_are_folded_in_their_order(fold: Any) -> None:
    table = SampleTable(12, init=0.25, fold=fold)
    for ids, values in _updates():
        before = table.values.clone()
        table.put(torch.tensor(ids[:5]), torch.tensor(values[:5]))
        table.put(torch.tensor(ids[5:]), torch.tensor(values[5:]))
        assert torch.equal(table[torch.arange(12)], before), "readable before the update is over"
        table.settle()
    assert table.values.tolist() == pytest.approx(_slow(fold, 0.25, _updates()), abs=1e-6)


def _share_of_updates(fold: Any) -> Tensor:
    import torch.distributed as dist

    from trainwright.data.order import micro_batches, share

    table = SampleTable(12, (2,), fold=fold)
    for ids, values in _updates():
        low, high = share(0, len(ids), dist.get_rank(), dist.get_world_size())
        for a, b in micro_batches(low, high, 2):
            both = torch.tensor(values[a:b])
            table.put(torch.tensor(ids[a:b]), torch.stack([both, -both], dim=1))
        table.settle()
    return table.values


@pytest.mark.parametrize("fold", FOLDS)
def test_the_number_of_workers_does_not_matter(
    fold: Any, one_worker: Any, two_workers: Any
) -> None:
    [alone] = one_worker.run(_share_of_updates, fold)
    for values in two_workers.run(_share_of_updates, fold):
        assert torch.equal(values, alone)
    assert not torch.equal(alone, torch.zeros_like(alone))


def test_what_is_read_is_a_copy_and_what_is_put_keeps_no_gradient() -> None:
    table = SampleTable(3)
    table[torch.tensor([0])].fill_(5.0)
    weight = torch.ones(1, requires_grad=True)
    values = 2 * weight
    table.put(torch.tensor([1]), values)
    values.detach().fill_(9.0)
    table.settle()
    assert table.values.tolist() == [0.0, 2.0, 0.0]
    assert not table.values.requires_grad


def test_wrong_shapes_ids_and_folds_are_told() -> None:
    table = SampleTable(3, (2,))
    with pytest.raises(ValueError, match=r"must have shape .* got \(2,\)"):
        table.put(torch.tensor([0, 1]), torch.zeros(2))
    with pytest.raises(IndexError):
        table[torch.tensor([3])]
    with pytest.raises(ValueError, match="fold must be one of last, sum"):
        SampleTable(3, fold="first")  # type: ignore[arg-type]


def _context() -> Context:
    return Context(seed=0, tables=SampleTables(4, torch.device("cpu")))


def test_a_name_is_one_table() -> None:
    context = _context()
    table = context.table("loss", init=1.0)
    assert context.table("loss", init=1.0) is table
    assert context.table("other") is not table
    with pytest.raises(ValueError, match="'loss' exists with shape"):
        context.table("loss", (2,), init=1.0)
    with pytest.raises(ValueError, match="from `begin` on"):
        Context(seed=0).table("loss")


def test_tables_come_back_before_and_after_they_are_asked_for() -> None:
    context, other, third = _context(), _context(), _context()
    context.table("loss").put(torch.tensor([2]), torch.tensor([0.5]))
    assert context.tables is not None
    assert other.tables is not None
    assert third.tables is not None
    context.tables.settle()
    early = other.table("loss")
    other.tables.load_state_dict(context.tables.state_dict())
    third.tables.load_state_dict(context.tables.state_dict())
    kept = third.tables.state_dict()["loss"]
    for values in (early.values, third.table("loss").values, kept):
        assert values.tolist() == [0.0, 0.0, 0.5, 0.0]
    fresh = SampleTables(5, torch.device("cpu"))
    fresh.load_state_dict(context.tables.state_dict())
    with pytest.raises(CheckpointError, match=r"'loss' has shape \[4\] in the checkpoint"):
        fresh.get("loss", (), 0.0, "last")
