"""The exponential average: by its recursion over weights that were watched."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from watched_weights import SEEN, averaging_job, exported, held_out, outputs_of

import trainwright
from trainwright.orchestration.launch import run_job
from trainwright_strategies.ema import Ema, ema_decay


def test_the_warm_up_ends_where_the_decay_begins() -> None:
    decays = [ema_decay(update, 0.9) for update in range(200)]
    assert decays[:2] == pytest.approx([1 / 10, 2 / 11])
    assert decays == sorted(decays)
    assert decays[79] < 0.9
    assert decays[80] == 0.9
    assert ema_decay(0, 0.9, warmup=False) == 0.9


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_ill_decay(decay: float) -> None:
    with pytest.raises(ValueError, match="decay must be at least 0 and below 1"):
        Ema(decay)


@pytest.mark.parametrize("warmup", [True, False])
def test_evaluated_and_exported_is_the_average(tmp_path: Path, warmup: bool) -> None:
    job = averaging_job(tmp_path, {"name": "ema", "decay": 0.8, "warmup": warmup})
    result = trainwright.run(job)
    average = {name: value.double() for name, value in SEEN[0].items()}
    for update, weights in enumerate(SEEN[1:]):
        kept = ema_decay(update, 0.8, warmup)
        average = {n: kept * average[n] + (1 - kept) * weights[n].double() for n in average}
    found = exported(result)
    for name, value in average.items():
        assert torch.allclose(found[name.removeprefix("model.")].double(), value, atol=1e-6), name
        assert not torch.allclose(SEEN[-1][name].double(), value, atol=1e-4), name
    images, classes = held_out(job)
    right = (outputs_of(found, images).argmax(1) == classes).double().mean()
    assert result.metrics["validation/accuracy"] == pytest.approx(float(right), abs=1e-6)


def test_training_itself_is_as_without(tmp_path: Path) -> None:
    trainwright.run(averaging_job(tmp_path, {"name": "ema", "decay": 0.9}))
    averaged = list(SEEN)
    trainwright.run(averaging_job(tmp_path, {"name": "ema", "decay": 0.0}))
    assert all(a[name].equal(b[name]) for a, b in zip(averaged, SEEN, strict=True) for name in a)


def test_a_continued_run_has_the_average_of_a_whole_one(tmp_path: Path) -> None:
    ema = {"name": "ema", "decay": 0.9}
    whole = trainwright.run(averaging_job(tmp_path, ema))
    first = averaging_job(tmp_path, ema, name="first", training={"epochs": 2})
    half = trainwright.run(first)
    longer = averaging_job(tmp_path, ema, name="first")
    rest = run_job(trainwright.Job.from_dict(longer), resume=half.run)
    ours, theirs = exported(whole), exported(rest)
    assert all(ours[name].equal(theirs[name]) for name in ours)
