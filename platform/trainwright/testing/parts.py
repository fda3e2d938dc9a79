"""Checks of the smaller parts of a job: datasets, transforms, schedules, and of every page."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from trainwright.data.loading import Splits, load_splits
from trainwright.data.table import SAMPLE_ID
from trainwright.data.transforms import TransformChain, build_chain
from trainwright.plugins import create
from trainwright.plugins.catalogue import Card, card
from trainwright.testing.cases import Case
from trainwright.testing.check import nothing_of
from trainwright.testing.rig import Rig
from trainwright.testing.setups import Setup
from trainwright.testing.trace import same


def explains_itself(case: Case, rig: Rig, setup: Setup) -> None:
    """The page of ``trainwright show``: a purpose, and for every option a type and a meaning."""
    wrong = undescribed(card(case.name, case.group, case.base))
    nothing_of(wrong, "`trainwright show` leaves the user in the dark")


def undescribed(page: Card) -> Iterator[str]:
    """What a page does not say that every page must."""
    if not page.purpose:
        yield "there is no sentence that says what it is for"
    for option in page.options:
        if not option.description:
            yield f"option {option.name} is not described under Args"
        if option.type == "anything":
            yield f"option {option.name} has no type"


def loads_the_same(case: Case, rig: Rig, setup: Setup) -> None:
    """Loading a dataset twice gives the same table, with finite numbers and typed columns."""
    first, second = _splits(case, rig), _splits(case, rig)
    assert first.fingerprint == second.fingerprint, "the fingerprint differs from load to load"
    assert len(first.train) > 0, "there are no samples"
    rows = torch.arange(len(first.train))
    again = second.train.subset(rows).tensors
    for name, values in first.train.subset(rows).tensors.items():
        assert values.equal(again[name]), f"column {name} differs from load to load"
        assert not values.is_floating_point() or values.isfinite().all(), f"{name} is not finite"


def treats_samples_alone(case: Case, rig: Rig, setup: Setup) -> None:
    """What a transform does to a sample depends on nothing but seed, epoch and the sample."""
    splits = _splits(case, rig)
    rows = torch.arange(7)
    for training in (True, False):
        together = _transformed(splits, rows, 3, training)
        backwards = _transformed(splits, rows.flip(0), 3, training)
        for name, values in together.items():
            _equal(backwards[name].flip(0), values, f"{name} depends on the order of the batch")
        for row in rows.tolist():
            alone = _transformed(splits, rows[row : row + 1], 3, training)
            for name, values in together.items():
                _equal(alone[name][0], values[row], f"{name} depends on the rest of the batch")


def evaluates_the_same(case: Case, rig: Rig, setup: Setup) -> None:
    """In evaluation a transform does the same in every epoch."""
    splits = _splits(case, rig)
    rows = torch.arange(7)
    first = _transformed(splits, rows, 0, training=False)
    for name, values in _transformed(splits, rows, 5, training=False).items():
        _equal(values, first[name], f"{name} changes with the epoch")


def keeps_what_it_learnt(case: Case, rig: Rig, setup: Setup) -> None:
    """A transform with the state of a fitted one gives what that one gives."""
    splits = _splits(case, rig)
    job = rig.job(case.job_with(case.options), setup, case.base)
    other: TransformChain = build_chain(job.spec.data.transforms, base=job.base, seed=job.spec.seed)
    other.fit(splits.train.subset(torch.arange(1, 4)))
    other.load_state_dict(splits.transforms.state_dict())
    assert same(other.state_dict(), splits.transforms.state_dict()), "the state is not taken over"
    batch = splits.train.take(torch.arange(7))
    first, second = splits.transforms(batch, 1, training=True), other(batch, 1, training=True)
    for name, values in first.items():
        _equal(second[name], values, f"{name} differs under the same state")


def is_a_function_of_the_update(case: Case, rig: Rig, setup: Setup) -> None:
    """A schedule's factor is finite, not negative, and does not depend on the calls before."""
    schedule = create("schedules", case.name, case.base, **case.options)
    total, per_epoch = 40, 8
    factor = schedule.bind(total, per_epoch)
    forwards = [factor(step) for step in range(total)]
    other = schedule.bind(total, per_epoch)
    backwards = [other(step) for step in reversed(range(total))][::-1]
    wrong = [
        f"update {step}: {value!r}"
        for step, value in enumerate(forwards)
        if not (math.isfinite(value) and value >= 0)
    ]
    nothing_of(wrong, "factors must be finite and not negative")
    assert forwards == backwards, "the factor depends on the calls before"


def _splits(case: Case, rig: Rig) -> Splits:
    job = rig.job(case.job_with(case.options), base=case.base)
    return load_splits(job.spec.data, base=job.base, workers=0, seed=job.spec.seed)


def _transformed(splits: Splits, rows: Tensor, epoch: int, training: bool) -> dict[str, Tensor]:
    batch = splits.transforms(splits.train.take(rows), epoch, training=training)
    assert batch[SAMPLE_ID].equal(splits.train.take(rows)[SAMPLE_ID]), "samples are lost"
    return batch


def _equal(found: Tensor, expected: Tensor, message: str) -> None:
    assert same(found, expected), message
