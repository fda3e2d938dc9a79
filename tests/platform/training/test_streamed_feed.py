"""The samples of an update from a streamed table: the same sets on any number of workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from streamed_files import in_memory, streamed, write_files

from trainwright.data.order import split_updates
from trainwright.data.streaming.table import StreamedTable
from trainwright.data.table import Table
from trainwright.data.transforms import TransformChain
from trainwright.job.models import TrainingSpec
from trainwright.strategy import Plan
from trainwright.training.feed import Feed
from trainwright.training.feeds import make_feed
from trainwright.training.orders import Orders
from trainwright.training.streamed_feed import StreamedFeed
from trainwright.training.timetable import Timetable

SHARDS = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_files(tmp_path_factory.mktemp("rows"), [[20, 31], [17], [40, 9, 60]])


def feed_of(
    table: StreamedTable, batch: int, rank: int, world: int, shuffle: bool = True, **options: Any
) -> Feed:
    chain = TransformChain()
    chain.fit(table.head(1))
    timetable = Timetable.of(Plan(3, None, batch, None, {}, {}), TrainingSpec(), len(table), world)
    return make_feed(
        table,
        chain,
        timetable,
        orders=Orders(11, shuffle),
        rank=rank,
        world_size=world,
        **options,
    )


@settings(max_examples=12, deadline=None, phases=[Phase.generate])
@given(
    batch=st.integers(32, 70),
    window=st.integers(SHARDS, 100),
    world=st.sampled_from([1, 2, 3, 4, 6]),
    micro=st.none() | st.integers(1, 9),
    shuffle=st.booleans(),
)
def test_updates_hold_the_same_samples_on_any_world(
    folder: Path, batch: int, window: int, world: int, micro: int | None, shuffle: bool
) -> None:
    table, whole = streamed(folder, shards=SHARDS, window=window), in_memory(folder)
    alone = feed_of(table, batch, 0, 1, shuffle)
    feeds = [feed_of(table, batch, r, world, shuffle, micro_batch_size=micro) for r in range(world)]
    steps = len(split_updates(len(table), batch, world))
    seen: dict[int, list[int]] = {0: [], 1: []}
    for index in range(2 * steps):
        epoch = index // steps
        expected = alone.sample_ids(index)
        [own] = alone[index].batches
        assert own["sample_id"].tolist() == expected
        updates = [feed[index] for feed in feeds]
        assert {update.size for update in updates} == {len(expected)}
        assert len({len(update.batches) for update in updates}) == 1
        shares = [sum(len(b["sample_id"]) for b in update.batches) for update in updates]
        assert max(shares) - min(shares) <= 1
        ids = [i for u in updates for b in u.batches for i in b["sample_id"].tolist()]
        assert sorted(ids) == sorted(expected)
        for batch_ in (b for u in updates for b in u.batches):
            rows = whole.take(batch_["sample_id"])
            assert all(batch_[name].equal(values) for name, values in rows.items())
        seen[epoch] += ids
    assert sorted(seen[0]) == sorted(seen[1]) == list(range(len(table)))
    assert (seen[0] == seen[1]) is not shuffle
    for feed in (alone, *feeds):
        feed.close()


def test_any_update_can_be_asked_for_first_and_again_after_closing(folder: Path) -> None:
    table = streamed(folder, shards=SHARDS, window=48)
    going, entering = feed_of(table, 32, 1, 2), feed_of(table, 32, 1, 2)
    batches = [going[index].batches[0] for index in range(12)]
    for index in (7, 11, 2):
        for name, values in entering[index].batches[0].items():
            assert values.equal(batches[index][name])
        entering.close()
    going.close()


def test_a_later_phase_has_numbers_of_its_own(folder: Path) -> None:
    table = streamed(folder, shards=SHARDS, window=48)
    first = feed_of(table, 32, 0, 1)
    later = feed_of(table, 32, 0, 1, first=100, epochs=1)
    steps = len(split_updates(len(table), 32, 1))
    assert later.sample_ids(100) == first.sample_ids(steps)
    assert later[100].batches[0]["sample_id"].tolist() == first.sample_ids(steps)
    first.close()
    later.close()


def test_nothing_is_read_after_the_last_epoch(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainwright.data.streaming.blocks import Blocks

    made: list[tuple[int, int]] = []
    call = Blocks.__call__

    def noted(self: Blocks, epoch: int, number: int) -> Any:
        made.append((epoch, number))
        return call(self, epoch, number)

    monkeypatch.setattr(Blocks, "__call__", noted)
    table = streamed(folder, shards=SHARDS, window=60)
    feed = feed_of(table, 32, 0, 1)
    for index in range(3 * len(split_updates(len(table), 32, 1))):
        feed[index]
    feed.close()
    assert made == [(epoch, number) for epoch in range(3) for number in range(3)]


def test_a_table_in_memory_has_the_feed_it_had(folder: Path) -> None:
    table = in_memory(folder)
    assert isinstance(table, Table)
    timetable = Timetable.of(Plan(1, None, 32, None, {}, {}), TrainingSpec(), len(table), 1)
    chain = TransformChain()
    chain.fit(table.subset(torch.arange(1)))
    feed = make_feed(table, chain, timetable, orders=Orders(0))
    assert not isinstance(feed, StreamedFeed)
    feed.close()
    assert len(feed[0].batches[0]["sample_id"]) == 32
