"""What losses average over, added up for many updates at once."""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from trainwright.data.table import Table
from trainwright.data.transforms import TransformChain
from trainwright.job.models import TrainingSpec
from trainwright.objective import Term, WeightedSum
from trainwright.strategy import Plan
from trainwright.training import counted_feed as module
from trainwright.training.counted_feed import CountedFeed
from trainwright.training.feed import TableFeed
from trainwright.training.orders import Orders
from trainwright.training.timetable import Timetable
from trainwright_objectives.causal_lm import CausalLM

EPOCHS = 2


class Meeting:
    """Sums over workers that take turns; the device of a worker is its number.

    Attributes:
        given: what each worker has given, one after the other.
    """

    def __init__(self) -> None:
        self.given: dict[int, list[Tensor]] = defaultdict(list)

    def begin(self, values: Tensor, worker: Any) -> Any:
        place = len(self.given[worker])
        self.given[worker].append(values)
        return lambda: torch.stack([given[place] for given in self.given.values()]).sum(dim=0)


def _feeds(
    samples: int, batch: int, world: int, micro: int | None, first: int = 0, length: int = 5
) -> list[tuple[TableFeed, CountedFeed]]:
    generator = torch.Generator().manual_seed(samples)
    target = torch.randint(0, 7, (samples, length), generator=generator)
    target[torch.rand(target.shape, generator=generator) < 0.3] = -100
    table = Table.from_arrays({"target": target}, {"target": "tokens"})
    chain = TransformChain()
    chain.fit(table)
    plan = Plan(EPOCHS, None, batch, None, {}, {})
    times = Timetable.of(plan, TrainingSpec(), samples, world)
    terms = WeightedSum([Term(CausalLM(), "causal_lm"), Term(torch.nn.MSELoss(), "mse")])
    feeds = []
    for rank in range(world):
        options: Any = {"rank": rank, "world_size": world, "micro_batch_size": micro}
        feed = TableFeed(table, chain, times, orders=Orders(3), first=first, **options)
        engine: Any = SimpleNamespace(
            settings=SimpleNamespace(rank=rank, device=rank), place=lambda batch: dict(batch)
        )
        feeds.append((feed, CountedFeed(feed, terms, times, engine, first)))
    return feeds


@settings(max_examples=40, deadline=None)
@given(
    st.integers(32, 200),
    st.integers(4, 16),
    st.integers(1, 4),
    st.none() | st.integers(1, 9),
    st.sampled_from([0, 7]),
    st.sampled_from([1, 3, module.MOST_UPDATES_AHEAD]),
)
def test_updates_are_those_of_the_feed_with_what_all_workers_count(
    samples: int, batch: int, world: int, micro: int | None, first: int, most: int
) -> None:
    meeting = Meeting()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "begin_sum_over_workers", meeting.begin)
        patched.setattr(module, "MOST_UPDATES_AHEAD", most)
        feeds = _feeds(samples, batch, world, micro, first)
        steps = EPOCHS * feeds[0][0]._timetable.steps_per_epoch
        for index in range(first, first + steps):
            updates = [counted[index] for _, counted in feeds]
            counted_by_all = torch.zeros(2, dtype=torch.float64)
            for (plain, _), update in zip(feeds, updates, strict=True):
                expected = plain[index]
                assert update.counts is not None
                assert (update.index, update.size) == (index, expected.size)
                for own, mine, its in zip(
                    update.counts.own, update.batches, expected.batches, strict=True
                ):
                    assert torch.equal(mine["target"], its["target"])
                    tokens = float((its["target"] != -100).sum())
                    assert own.tolist() == [tokens, float(len(its["target"]))]
                    counted_by_all += own
            for update in updates:
                assert update.counts is not None
                assert torch.equal(update.counts.total(), counted_by_all)
    assert {len(given) for given in meeting.given.values()} == {len(meeting.given[0])}


def test_an_epoch_needs_few_sums_and_its_end_ends_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    meeting = Meeting()
    monkeypatch.setattr(module, "begin_sum_over_workers", meeting.begin)
    (_, feed), (_, other) = _feeds(samples=8 * 40, batch=8, world=2, micro=None)
    for index in range(EPOCHS * 40):
        assert feed[index].size == other[index].size
    numbers = [(len(flat) - 1) // 2 for flat in meeting.given[0]]
    assert numbers == [1, 16, 16, 7, 16, 16, 8]


def test_a_large_update_is_not_made_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    meeting = Meeting()
    monkeypatch.setattr(module, "begin_sum_over_workers", meeting.begin)
    monkeypatch.setattr(module, "MOST_BYTES_AHEAD", 3 * 8 * (5 + 1) * 8)  # tokens and sample ids
    [(_, feed)] = _feeds(samples=8 * 10, batch=8, world=1, micro=None)
    for index in range(10):
        assert feed[index].counts is not None
    assert [(len(flat) - 1) // 2 for flat in meeting.given[0]] == [1, 3, 3, 3]


def test_an_update_out_of_turn_begins_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "begin_sum_over_workers", Meeting().begin)
    [(plain, feed)] = _feeds(samples=8 * 10, batch=8, world=1, micro=None)
    for index in (0, 1, 2, 1, 2, 7, 3):
        assert torch.equal(feed[index].batches[0]["target"], plain[index].batches[0]["target"])
    assert feed.sample_ids(4) == plain.sample_ids(4)


def test_single_workers_need_no_others() -> None:
    [(_, feed)] = _feeds(samples=80, batch=8, world=1, micro=3)
    update = feed[0]
    assert update.counts is not None
    assert torch.equal(update.counts.total(), update.counts.own.sum(dim=0))
