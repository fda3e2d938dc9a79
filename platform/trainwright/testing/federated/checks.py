"""Checks of an aggregator, by its protocol alone: nothing here needs what runs federations."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from trainwright.federated import Aggregator
from trainwright.federated.aggregator import overridden
from trainwright.plugins.catalogue import card
from trainwright.plugins.docstring import Docstring
from trainwright.testing.check import nothing_of
from trainwright.testing.federated import client_checks
from trainwright.testing.federated.case import AggregatorCase, AggregatorCheck
from trainwright.testing.federated.miniature import Miniature, reduced_of
from trainwright.testing.federated.rounding import close, random
from trainwright.testing.federated.watched import Watched
from trainwright.testing.parts import undescribed
from trainwright.testing.trace import same

SECTIONS = ("Equation", "Needs", "Measured", "Source")

TINY, HUGE = 1e-30, 1e30
"""Sizes of numbers whose squares are no float32 numbers any more."""


def explains_itself(case: AggregatorCase) -> None:
    """The page of ``trainwright show``: purpose, equation, options, needs, measurements, source."""
    page = card(case.name, "aggregators", case.base)
    sections = Docstring.parse(page.text).sections
    missing = [f"there is no section {title}" for title in SECTIONS if title not in sections]
    nothing_of([*undescribed(page), *missing], "`trainwright show` leaves the user in the dark")


def trains(case: AggregatorCase) -> None:
    """Over ten rounds the loss of the clients falls, and all numbers are finite."""
    played = case.miniature().run(10)
    nothing_of(_not_finite(played), "numbers are not finite")
    first, last = sum(played.losses[:3]) / 3, sum(played.losses[-3:]) / 3
    assert last < first, f"the loss does not fall: {first:.6g}, then {last:.6g}"


def differs_from_averaging(case: AggregatorCase) -> None:
    """With the case's options other weights come out than by plain averaging: no placebo."""
    averaged, played = case.miniature(_averaging(case)).run(4), case.miniature().run(4)
    assert not same(averaged.weights, played.weights), (
        f"with {dict(case.options)} it does the same as plain averaging"
    )


def is_neutral(case: AggregatorCase) -> None:
    """With the neutral options the weights are those of plain averaging, bit for bit."""
    neutral = case.make(**(case.neutral or {}))
    averaged, played = case.miniature(_averaging(case)), case.miniature(neutral)
    for round in range(4):
        averaged.run(1), played.run(1)
        assert same(averaged.weights, played.weights), (
            f"with {dict(case.neutral or {})} round {round} differs from plain averaging"
        )


def is_pure(case: AggregatorCase) -> None:
    """Each method gives the same twice, changes no argument, and keeps nothing in ``self``."""
    watched = Watched(case.make())
    case.miniature(watched).run(3)
    nothing_of(watched.faults, "methods must be pure functions")


def ignores_the_order(case: AggregatorCase) -> None:
    """The order in which clients are summed or stacked does not matter, but for rounding."""
    played = case.miniature().run(3)
    samples = [played.task.num_samples[id] for id in played.messages]
    messages = list(played.messages.values())
    found = []
    for cut in (0, 1, len(messages) // 2):
        order = [*range(cut, len(messages)), *reversed(range(cut))]
        some, counts = [messages[i] for i in order], [samples[i] for i in order]
        reduced = reduced_of(played.aggregator, some, counts, played.federation, played.round)
        weights, state = played.aggregator.server(played.weights, reduced, played.state)
        found.append({"weights": weights, **{f"state {n}": v for n, v in state.items()}})
    for name, value in found[0].items():
        for other in found[1:]:
            close(other[name], value, f"{name} depends on the order of the clients")


def follows_a_shared_update(case: AggregatorCase) -> None:
    """If all clients move alike, the server moves by the stated multiple, or at least along."""
    played = case.miniature(alike=True)
    update = torch.randn(played.task.layout.size, generator=random(2))
    played.receive(dict.fromkeys(range(case.cohort), update))
    _is_vector(played)
    moved = played.weights - played.task.start
    if case.moves_by is None:
        product = float(moved @ update)
        assert product > 0, f"the server does not move along the update: product {product:.6g}"
    else:
        close(moved, case.moves_by * update, f"the server does not move by {case.moves_by} times")


def stays_finite(case: AggregatorCase) -> None:
    """Updates that are finite never lead to numbers that are not."""
    size = case.miniature().task.layout.size
    one, other = torch.randn(2, size, generator=random(5))
    every = torch.randn(case.cohort, size, generator=random(6))
    outlier = every.clone()
    outlier[1] *= HUGE
    cohorts = {
        "zeros": 0 * every,
        "equal updates": one.repeat(case.cohort, 1),
        "a single client": every[:1],
        "two clients that cancel": torch.stack([one, -one]),
        "tiny updates": TINY * every,
        "huge updates": HUGE * every,
        "one huge update": outlier,
        "a zero among updates": torch.stack([0 * one, one, other, one - other, one + other]),
    }
    for name, updates in cohorts.items():
        played = case.miniature()
        for _ in range(2):
            played.receive(dict(enumerate(updates)))
            nothing_of(_not_finite(played), f"with {name} numbers are not finite")
            _is_vector(played)


_ALWAYS: tuple[Callable[[AggregatorCase], None], ...] = (
    explains_itself,
    trains,
    differs_from_averaging,
    is_pure,
    client_checks.speaks_alike,
    client_checks.survives_float32,
    ignores_the_order,
    follows_a_shared_update,
    client_checks.stacks_gradients,
    client_checks.keeps_real_tensors,
    stays_finite,
)


def aggregator_checks(case: AggregatorCase) -> list[AggregatorCheck]:
    """The checks that an aggregator must pass, which their functions describe.

    ``is_neutral`` is among them where the case names neutral options, and ``batches_its_loss``
    where the aggregator changes the loss and declares ``functional``.
    """
    aggregator = case.make()
    functions = list(_ALWAYS)
    if case.neutral is not None:
        functions.append(is_neutral)
    if aggregator.functional and overridden(aggregator, "loss"):
        functions.append(client_checks.batches_its_loss)
    checks = [AggregatorCheck(case, function) for function in functions]
    return [check for check in checks if check.name not in case.exempt]


def _averaging(case: AggregatorCase) -> Aggregator:
    plain = Aggregator()
    plain.weighting = case.make().weighting
    return plain


def _not_finite(played: Miniature) -> list[str]:
    bad = [name for name, value in played.tensors() if not value.isfinite().all()]
    return bad + [f"loss {loss}" for loss in played.losses if not math.isfinite(loss)]


def _is_vector(played: Miniature) -> None:
    form = (tuple(played.weights.shape), played.weights.dtype)
    expected = ((played.task.layout.size,), torch.float32)
    assert form == expected, f"the server's weights are {form}, not {expected}"
