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
    samples: int,
    batch: int,
    world: int,
    micro: int | None,
    *,
    cut_for: int | None = None,
    **options: Any,
) -> list[TableFeed]:
    x = torch.arange(float(samples))[:, None]
    kinds = {"x": "vector", "bag": "class"}
    table = Table.from_arrays({"x": x, "bag": torch.arange(samples) // 3}, kinds)
    table = table.subset(torch.arange(samples - 1, -1, -1))
    chain = TransformChain()
    chain.fit(table)
    plan = Plan(2, None, batch, None, {}, {})
    groups = Orders(3, **options).num_groups(table)
    times = Timetable.of(plan, TrainingSpec(), samples, cut_for or world, groups)
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


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_updates_made_for_a_range_of_workers_are_the_same_for_each_number(data: Any) -> None:
    """Batches of any size, tails of any length: where the number of workers would tell."""
    most = data.draw(st.integers(1, 9))
    batch = data.draw(st.integers(most, 40))
    samples = data.draw(st.integers(batch, 120))
    group = data.draw(st.sampled_from([None, "bag"])) if samples >= 3 * most else None
    present, micro = data.draw(st.integers(1, most)), data.draw(st.none() | st.integers(3, 9))
    feeds = _feeds(samples, batch, present, micro, cut_for=most, group=group)
    reference = _feeds(samples, batch, most, None, group=group)
    for index in range(reference[0]._timetable.total_steps):
        ids = [i for f in feeds for b in f[index].batches for i in b["sample_id"].tolist()]
        wanted = [i for f in reference for b in f[index].batches for i in b["sample_id"].tolist()]
        assert ids == wanted
    assert feeds[0]._timetable.total_steps == reference[0]._timetable.total_steps


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
