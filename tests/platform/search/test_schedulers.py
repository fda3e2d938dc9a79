"""Schedulers against slow rules of their own, and after an interruption."""

from __future__ import annotations

import math
import statistics
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainwright.durations import Duration
from trainwright.search.goals import Goal
from trainwright.search.marks import RESOURCE, VALUE
from trainwright.search.schedulers import Stopping, make_scheduler
from trainwright.search.spec import AshaSpec, MedianSpec
from trainwright.search.trials import Milestone, Trial

GOAL = Goal("validation/accuracy", highest=True)
LOSS = Goal("validation/loss", highest=False)
ASHA = AshaSpec(grace=Duration(1, "epochs"), reduction=3.0)
MEDIAN = MedianSpec(grace=Duration(2, "epochs"), min_trials=2)

Told = tuple[int, float, float]
"""Number of a trial, epochs, value."""


class Halving:
    """Asynchronous successive halving, its stopping variant, as slowly as it is described.

    A trial that reaches a rung is stopped if its value there is below the quantile
    1 - 1 / reduction of those that have reached it before; it is judged at the highest rung that it
    has reached.
    """

    def __init__(self, grace: float, reduction: float) -> None:
        self.rungs = [grace * reduction**k for k in range(20)]
        self.reduction = reduction
        self.seen: dict[float, dict[int, float]] = {rung: {} for rung in self.rungs}

    def stops(self, number: int, epoch: float, score: float) -> bool:
        reached = [rung for rung in self.rungs if rung <= epoch]
        if not reached or any(number in self.seen[rung] for rung in reached[-1:]):
            return False
        others = sorted(self.seen[reached[-1]].values())
        self.seen[reached[-1]][number] = score
        if not others:
            return False
        place = (1 - 1 / self.reduction) * (len(others) - 1)
        below = math.floor(place)
        above = min(below + 1, len(others) - 1)
        cutoff = others[below] + (place - below) * (others[above] - others[below])
        return score < cutoff and not math.isclose(score, cutoff)


class Median:
    """Stopped if the best so far is below the median of the others' means since the grace."""

    def __init__(self, grace: float, least: int) -> None:
        self.grace, self.least = grace, least
        self.curves: dict[int, list[tuple[float, float]]] = {}

    def stops(self, number: int, epoch: float, score: float) -> bool:
        self.curves.setdefault(number, []).append((epoch, score))
        if epoch < self.grace:
            return False
        means = []
        for other, curve in self.curves.items():
            window = [value for at, value in curve if self.grace <= at <= epoch]
            if other != number and curve[-1][0] >= epoch and window:
                means.append(sum(window) / len(window))
        best = max(value for _, value in self.curves[number])
        if len(means) < self.least:
            return False
        middle = statistics.median(means)
        return best < middle and not math.isclose(best, middle)


def told(scheduler: Stopping, event: Told) -> bool:
    number, epoch, value = event
    return scheduler.told(number, {RESOURCE: epoch, VALUE: value}) == scheduler.STOP


def played(seed: int, num: int = 12, epochs: int = 10, every: float = 1.0) -> list[Told]:
    """Curves that grow to different heights, in an order as of several processes."""
    rng = np.random.default_rng(seed)
    heights = rng.uniform(0.2, 1, num)
    waiting = {n: [every * k for k in range(1, int(epochs / every) + 1)] for n in range(num)}
    events: list[Told] = []
    while any(waiting.values()):
        number = int(rng.choice([n for n, left in waiting.items() if left][:4]))
        epoch = waiting[number].pop(0)
        value = heights[number] * (1 - 0.7**epoch) + rng.normal(0, 0.03)
        events.append((number, epoch, round(float(value), 6)))
    return events


def decisions(rule: Any, events: list[Told]) -> list[tuple[int, float]]:
    """Which trials are stopped where; nothing is heard of them after it."""
    stopped: dict[int, float] = {}
    for number, epoch, value in events:
        if number not in stopped and rule((number, epoch, value)):
            stopped[number] = epoch
    return sorted(stopped.items())


@pytest.mark.parametrize("every", [1.0, 2.0, 0.5])
@pytest.mark.parametrize("reduction", [2.0, 3.0, 4.0])
def test_asha_decides_as_a_slow_one(reduction: float, every: float) -> None:
    found = []
    for seed in range(5):
        events = played(seed, every=every)
        scheduler = make_scheduler(AshaSpec(reduction=reduction), GOAL, [])
        slow = Halving(1, reduction)
        wanted = decisions(lambda event, slow=slow: slow.stops(*event), events)
        assert decisions(lambda event, s=scheduler: told(s, event), events) == wanted
        found += wanted
    assert len(found) > 20, "most trials must be stopped"
    rungs = [reduction**k for k in range(6)]
    first = [min(e for e in np.arange(every, 2000, every) if e >= rung) for rung in rungs]
    assert {epoch for _, epoch in found} <= set(first)


@pytest.mark.parametrize("least", [1, 3])
def test_the_median_rule_decides_as_a_slow_one(least: int) -> None:
    found = []
    for seed in range(5):
        events = played(seed)
        scheduler = make_scheduler(MedianSpec(min_trials=least), GOAL, [])
        slow = Median(1, least)
        wanted = decisions(lambda event, slow=slow: slow.stops(*event), events)
        assert decisions(lambda event, s=scheduler: told(s, event), events) == wanted
        found += wanted
    assert len(found) > 10


@pytest.mark.parametrize("spec", [ASHA, MEDIAN], ids=["asha", "median"])
def test_what_is_lowest_is_the_same_upside_down(spec: AshaSpec | MedianSpec) -> None:
    events = played(3)
    up, down = make_scheduler(spec, GOAL, []), make_scheduler(spec, LOSS, [])
    wanted = decisions(lambda event: told(up, event), events)
    assert decisions(lambda e: told(down, (e[0], e[1], -e[2])), events) == wanted
    assert wanted


@given(seed=st.integers(0, 10**6), cut=st.integers(1, 110), spec=st.sampled_from([ASHA, MEDIAN]))
@settings(max_examples=25)
def test_after_an_interruption_it_decides_as_without(
    seed: int, cut: int, spec: AshaSpec | MedianSpec
) -> None:
    """Trials that go on after it are the same ones, also where they say some moments again."""
    events = played(seed)
    whole = make_scheduler(spec, GOAL, [])
    wanted = decisions(lambda event: told(whole, event), events)
    first = make_scheduler(spec, GOAL, [])
    before = decisions(lambda event: told(first, event), events[:cut])
    over = dict(before)
    trials = {n: Trial(n, {}) for n in range(12)}
    for number, epoch, value in events[:cut]:
        if epoch <= over.get(number, math.inf):
            metrics = {GOAL.name: value}
            trials[number].curve.append(Milestone(int(epoch * 23), epoch, metrics))
    second = make_scheduler(spec, GOAL, list(trials.values()))
    again = [event for event in events[:cut] if event[0] not in over][-3:]
    assert not any(told(second, event) for event in again), "they were let go on there before"
    rest = [event for event in events[cut:] if event[0] not in over]
    assert sorted([*before, *decisions(lambda event: told(second, event), rest)]) == wanted


def test_a_trial_without_a_value_is_let_alone() -> None:
    scheduler = make_scheduler(ASHA, GOAL, [])
    for number in range(5):
        told(scheduler, (number, 1.0, 0.5 + number))
    assert scheduler.told(9, {RESOURCE: 1.0}) == scheduler.CONTINUE
    assert scheduler.told(9, {RESOURCE: 1.0, VALUE: 0.1}) == scheduler.STOP


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("spec", [ASHA, MEDIAN], ids=["asha", "median"])
def test_what_is_not_finite_ends_after_the_grace_and_harms_nobody(
    spec: AshaSpec | MedianSpec, value: float
) -> None:
    scheduler = make_scheduler(spec, GOAL, [])
    assert not told(scheduler, (0, 0.5, value))
    assert told(scheduler, (0, 2.0, value))
    for number in (1, 2, 3):
        assert not told(scheduler, (number, 2.0, float(number)))
    assert told(scheduler, (4, 2.0, 0.1))


def test_a_moment_that_is_trained_again_counts_once() -> None:
    scheduler = make_scheduler(MedianSpec(min_trials=1), GOAL, [])
    for event in [(0, 2.0, 0.0), (0, 3.0, 1.0), (0, 2.0, 0.0), (0, 2.0, 0.0), (0, 3.0, 1.0)]:
        told(scheduler, event)
    assert not told(scheduler, (1, 3.0, 0.6)), "above 0.5, what the other one had on average"
    assert told(scheduler, (2, 3.0, 0.4))
