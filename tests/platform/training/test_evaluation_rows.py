"""The batches of an evaluation: every row once, groups whole."""

from __future__ import annotations

import pytest
import torch

from trainwright.data.table import Table
from trainwright.training.evaluation_rows import evaluation_rows


def _table(sizes: list[int]) -> Table:
    """Rows of a group lie apart."""
    groups = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    groups = groups[torch.randperm(len(groups), generator=torch.Generator().manual_seed(0))]
    return Table.from_arrays({"group": groups}, {"group": "class"})


@pytest.mark.parametrize("world", [1, 2, 3, 7])
@pytest.mark.parametrize("size", [1, 4, 100])
def test_groups_stay_whole(world: int, size: int) -> None:
    sizes = [3, 1, 6, 2, 2, 4]
    table = _table(sizes)
    shares = evaluation_rows(table, "group", world, size, world)
    assert len(shares) == world
    batches = [batch for share in shares for batch in share]
    assert sorted(torch.cat(batches).tolist()) == list(range(18))
    for rows in batches:
        groups, counts = torch.unique(table.tensors["group"][rows], return_counts=True)
        assert counts.tolist() == [sizes[group] for group in groups]
        assert len(rows) <= size or len(groups) == 1


@pytest.mark.parametrize("world", [1, 2, 3])
def test_without_groups_rows_keep_their_order(world: int) -> None:
    shares = evaluation_rows(_table([3, 4, 1]), None, world, 3, world)
    rows = [row for share in shares for batch in share for row in batch.tolist()]
    assert rows == list(range(8))
    assert all(len(batch) <= 3 for share in shares for batch in share)


def test_a_group_that_fits_is_added() -> None:
    [share] = evaluation_rows(_table([2, 2, 2]), "group", 1, 4, 1)
    assert [len(batch) for batch in share] == [4, 2]


@pytest.mark.parametrize("group", [None, "group"])
@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize("cut_for", [1, 4])
def test_batches_are_the_same_for_any_number_of_workers(
    group: str | None, size: int, cut_for: int
) -> None:
    table = _table([3, 1, 6, 2, 2, 4, 1])
    batches = [
        [
            rows.tolist()
            for share in evaluation_rows(table, group, n, size, cut_for)
            for rows in share
        ]
        for n in (1, 2, 3, 9)
    ]
    assert batches == [batches[0]] * 4


@pytest.mark.parametrize(("rows", "size", "workers"), [(90, 30, 2), (100, 24, 4), (3, 100, 4)])
def test_the_most_workers_have_equally_much_to_do(rows: int, size: int, workers: int) -> None:
    table = Table.from_arrays({"x": torch.zeros(rows)}, {"x": "value"})
    shares = evaluation_rows(table, None, workers, size, workers)
    counts = [sum(map(len, share)) for share in shares]
    assert max(counts) - min(counts) <= -(-rows // (size * workers))
    assert max(map(len, shares)) == -(-rows // (size * workers))
