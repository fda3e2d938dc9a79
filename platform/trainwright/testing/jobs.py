"""Checks that train: whatever a plugin is, a job with it learns, resumes and scales."""

from __future__ import annotations

import math
from statistics import fmean
from typing import Any

from trainwright.testing.cases import Case
from trainwright.testing.check import nothing_of
from trainwright.testing.rig import Rig
from trainwright.testing.setups import LOCAL, Setup
from trainwright.testing.trace import Trace, differences, same

RELATIVE, ABSOLUTE = 1e-4, 1e-5
"""How far losses may differ that are equal but for the order of float32 additions."""


def whole_run(case: Case, rig: Rig, setup: Setup, **changes: Any) -> Trace:
    """The case's job from start to end; ``changes`` are sections of the job."""
    return rig.train(case.job_with(case.options, **changes), setup, case.base)


def trains(case: Case, rig: Rig, setup: Setup) -> None:
    """The job is valid and trains: every recorded number is finite, and the loss falls.

    On several workers, or by micro-batches, the losses are those of one worker, unless
    ``validate`` says what depends on their number.
    """
    trace = whole_run(case, rig, setup)
    bad = [f"{n} at step {s}: {v}" for (n, s), v in trace.metrics.items() if not math.isfinite(v)]
    nothing_of(bad, "recorded numbers are not finite")
    losses = trace.curve("train/loss")
    third = max(len(losses) // 3, 1)
    first, last = fmean(losses[:third]), fmean(losses[-third:])
    if not last < first and "learns" not in case.exempt:
        raise AssertionError(f"the training loss does not fall: {first:.6g}, then {last:.6g}")
    if setup != LOCAL and not _depends_on_workers(case, rig):
        nothing_of(_far(whole_run(case, rig, LOCAL), trace), "losses differ from one worker's")


def accumulates(case: Case, rig: Rig, setup: Setup) -> None:
    """In micro-batches the losses are the same, unless ``validate`` says what depends on them."""
    if _depends_on_workers(case, rig):
        return
    training = {**case.job_without()["training"], "micro_batch_size": 5}
    parts = whole_run(case, rig, setup, training=training)
    nothing_of(_far(whole_run(case, rig, setup), parts), "losses differ in micro-batches")


def resumes(case: Case, rig: Rig, setup: Setup) -> None:
    """From a checkpoint in mid-training a run goes on bit for bit as if nothing had happened."""
    whole = whole_run(case, rig, setup)
    steps = {int(name.split("-")[1]): name for name in whole.checkpoints}
    # A run in phases also has one from before its first update.
    step = min(step for step in steps if step >= whole.steps / 3)
    assert step < whole.steps, f"training of {whole.steps} updates is too short to resume"
    checkpoint = steps[step]
    place = (whole.url, checkpoint)
    resumed = rig.train(case.job_with(case.options), setup, case.base, start_from=place)
    nothing_of(differences(whole, resumed, after=step), "the resumed run differs")
    if not same(whole.strategies, resumed.strategies):
        raise AssertionError("the strategies' state at the end differs from the resumed run's")


def trains_in_bf16(case: Case, rig: Rig, setup: Setup) -> None:
    """In bfloat16 every recorded number is finite."""
    training = {**case.job_without()["training"], "precision": "bf16"}
    trace = whole_run(case, rig, setup, training=training)
    bad = [f"{n} at step {s}: {v}" for (n, s), v in trace.metrics.items() if not math.isfinite(v)]
    nothing_of(bad, "recorded numbers are not finite")


def _depends_on_workers(case: Case, rig: Rig) -> bool:
    return bool(rig.prepare(case.job_with(case.options), LOCAL, case.base).remarks)


def _far(first: Trace, second: Trace) -> list[str]:
    """Where the training losses of two runs are further apart than rounding explains."""
    pairs = list(zip(first.curve("train/loss"), second.curve("train/loss"), strict=True))
    return [
        f"update {step}: {a!r} and {b!r}"
        for step, (a, b) in enumerate(pairs, start=1)
        if not math.isclose(a, b, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    ]
