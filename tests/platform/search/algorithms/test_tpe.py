"""Proposals of the tree-structured Parzen estimator, by proposing and telling alone."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from trainwright.search.algorithms.listed import Listed, draws
from trainwright.search.algorithms.protocol import Algorithm
from trainwright.search.algorithms.tpe import Tpe
from trainwright.search.goals import Goal, Judge
from trainwright.search.space import Sampler, Space, parse_constraints
from trainwright.search.space.options import identity
from trainwright.search.spec import TpeSpec
from trainwright.search.trials import Trial

ACCURACY = Judge((Goal("accuracy", highest=True),))
LOSS = Judge((Goal("loss", highest=False),))
BOTH = Judge((Goal("accuracy", highest=True), Goal("size", highest=False)))

WIDE = Space.parse({"lr": {"loguniform": [1e-6, 1]}, "momentum": {"uniform": [0, 1]}})
BRANCHES = Space.parse(
    {
        "objective": {"choice": ["a", {"name": "b", "k": {"uniform": [0, 1]}}]},
        "lr": {"loguniform": [1e-4, 1]},
    }
)
INNER = next(p.name for p in BRANCHES.parameters if p.condition is not None)

Measure = Callable[[dict[str, Any]], dict[str, float]]


def played(
    algorithm: Algorithm, measure: Measure, num: int, before: int = 0, beside: int = 1
) -> list[Trial]:
    """Trials proposed ``beside`` at a time, each told when the next ones are proposed."""
    found: list[Trial] = []
    for number in range(before, num):
        assignment = algorithm.propose(number)
        if assignment is None:
            break
        found.append(Trial(number, assignment, "finished", metrics=measure(assignment)))
        if len(found) >= beside:
            algorithm.told(found[len(found) - beside])
    return found


def bowl(trial: dict[str, Any]) -> dict[str, float]:
    """Lowest, at 0, where the rate is 1e-3 and momentum 0.7."""
    return {"loss": (math.log10(trial["lr"]) + 3) ** 2 / 9 + (trial["momentum"] - 0.7) ** 2}


def test_it_finds_an_optimum_faster_than_chance() -> None:
    reached: dict[str, list[float]] = {"tpe": [], "random": []}
    for seed in range(6):
        sampler = Sampler(WIDE, seed)
        for name, algorithm in (
            ("tpe", Tpe(TpeSpec(), sampler, LOSS)),
            ("random", Listed(draws(sampler))),
        ):
            trials = played(algorithm, bowl, 35, beside=2)
            reached[name].append(min(trial.metrics["loss"] for trial in trials))
    mean = {name: sum(values) / len(values) for name, values in reached.items()}
    assert mean["tpe"] < mean["random"] / 2, mean


def test_highest_is_lowest_upside_down() -> None:
    up = played(
        Tpe(TpeSpec(), Sampler(WIDE, 0), ACCURACY), lambda t: {"accuracy": -bowl(t)["loss"]}, 20
    )
    down = played(Tpe(TpeSpec(), Sampler(WIDE, 0), LOSS), bowl, 20)
    assert [t.assignment for t in up] == [t.assignment for t in down]


def test_branches_have_their_own_values_and_the_better_one_is_preferred() -> None:
    def measure(trial: dict[str, Any]) -> dict[str, float]:
        inside = 1 + (trial[INNER] - 0.25) ** 2 if trial["objective"] == "b" else 3.0
        return {"loss": inside + (math.log10(trial["lr"]) + 2) ** 2}

    trials = played(Tpe(TpeSpec(), Sampler(BRANCHES, 0), LOSS), measure, 40)
    for trial in trials:
        assert BRANCHES.check(trial.assignment) is None
    late = [trial.assignment for trial in trials[20:]]
    assert sum(values["objective"] == "b" for values in late) > 12
    best = min(trials, key=lambda trial: trial.metrics["loss"]).assignment
    assert best[INNER] == pytest.approx(0.25, abs=0.25)


def test_constraints_hold_and_nothing_comes_twice() -> None:
    space = Space.parse({"a": {"int": [1, 6]}, "b": {"choice": [1, 2, 3]}})
    sampler = Sampler(space, 1, parse_constraints(["a * b <= 8"]))
    trials = played(Tpe(TpeSpec(startup_trials=3), sampler, LOSS), lambda t: {"loss": t["a"]}, 99)
    wanted = {(a, b) for a in range(1, 7) for b in (1, 2, 3) if a * b <= 8}
    assert {(t.assignment["a"], t.assignment["b"]) for t in trials} == wanted
    assert len(trials) == len(wanted), "a space that is exhausted ends"


def test_what_earlier_attempts_saw_is_known() -> None:
    """Proposals lie where theirs were good, and are not theirs once more."""
    sampler = Sampler(WIDE, 0)
    first = played(Tpe(TpeSpec(), sampler, LOSS), bowl, 25)
    second = Tpe(TpeSpec(), sampler, LOSS)
    for trial in first:
        second.told(trial)
    further = played(second, bowl, 40, before=25)
    assert not {identity(t.assignment) for t in first} & {identity(t.assignment) for t in further}
    near = sum(trial.metrics["loss"] < 0.25 for trial in further)
    assert near > 7, "chance gives a quarter of them"
    unlearnt = Tpe(TpeSpec(), sampler, LOSS)
    known = [unlearnt.propose(number) for number in range(25, 40)]
    assert known != [trial.assignment for trial in further]


@pytest.mark.parametrize("state", ["failed", "finished"])
def test_a_trial_that_diverged_counts_as_the_worst(state: Any) -> None:
    """Large rates diverge; it stays away from them as it does from bad ones."""

    def tried(diverges: bool) -> int:
        algorithm, num = Tpe(TpeSpec(startup_trials=8), Sampler(WIDE, 5), LOSS), 0
        for number in range(40):
            values = algorithm.propose(number)
            assert values is not None
            trial = Trial(number, values, "finished", metrics=bowl(values))
            if values["lr"] > 1e-3:
                num += number >= 15
                trial.metrics = {"loss": math.inf} if diverges else {"loss": 0.0}
                trial.state = state if diverges else "finished"
            algorithm.told(trial)
        return num

    assert tried(diverges=True) < 8
    assert tried(diverges=False) > 17


def test_a_refused_trial_teaches_nothing() -> None:
    algorithm = Tpe(TpeSpec(), Sampler(WIDE, 0), LOSS)
    values = algorithm.propose(0)
    assert values is not None
    algorithm.told(Trial(0, values, "refused"))
    algorithm.told(Trial(1, {"lr": 0.1, "momentum": 0.2}, "refused"))
    assert algorithm.propose(2) is not None


def test_several_goals() -> None:
    """The front of accuracy against size is found at both of its ends."""
    space = Space.parse({"width": {"logint": [1, 256]}, "lr": {"loguniform": [1e-4, 1]}})

    def measure(trial: dict[str, Any]) -> dict[str, float]:
        penalty = (math.log10(trial["lr"]) + 2) ** 2
        return {"accuracy": math.log2(trial["width"]) - penalty, "size": trial["width"]}

    def distance(trials: list[Trial]) -> float:
        """Of the later rates from the best one, in powers of ten."""
        late = [abs(math.log10(trial.assignment["lr"]) + 2) for trial in trials[20:]]
        return sum(late) / len(late)

    learnt, by_chance = [], []
    for seed in range(3):
        sampler = Sampler(space, seed)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            trials = played(Tpe(TpeSpec(), sampler, BOTH), measure, 40, beside=2)
        widths = [trial.assignment["width"] for trial in BOTH.front(trials)]
        assert min(widths) < 8
        assert max(widths) > 64
        learnt.append(distance(trials))
        by_chance.append(distance(played(Listed(draws(sampler)), measure, 40)))
    assert sum(learnt) < 0.75 * sum(by_chance)
