"""Stochastic weight averaging: the mean of watched weights, its statistics over all samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from watched_weights import SEEN, averaging_job, exported, held_out, outputs_of, splits_of

import trainwright
from trainwright.durations import Duration
from trainwright.orchestration.launch import run_job
from trainwright_strategies.swa import Swa, num_averaged

SWA = {"name": "swa", "start": 0.5, "every": "2 steps"}


def test_sets_are_counted_back_from_the_end() -> None:
    for start, every, total in ((0.75, 3, 20), (0.0, 7, 20), (0.5, 100, 10)):
        taken = [t for t in range(1, total + 1) if (total - t) % every == 0 and t > start * total]
        counts = [num_averaged(t, total, start, every) for t in range(total + 1)]
        assert counts == [sum(moment <= t for moment in taken) for t in range(total + 1)]
        assert counts[-1] >= 1


def test_ill_start() -> None:
    with pytest.raises(ValueError, match="start must be at least 0 and below 1"):
        Swa(start=1.0, every=Duration(1, "epochs"))


def _mean_and_statistics(job: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The mean of the chosen sets, and statistics by one pass over all training images."""
    from trainwright.models.convnet import ConvNet

    total = len(SEEN) - 1
    chosen = [t for t in range(1, total + 1) if (total - t) % 2 == 0 and t > total / 2]
    assert len(chosen) > 2
    names = SEEN[0]
    mean = {n: sum(SEEN[t][n].double() for t in chosen) / len(chosen) for n in names}
    model = ConvNet(in_channels=1, out_features=10, width=2, dropout=0.0)
    named = {name.removeprefix("model."): value.float() for name, value in mean.items()}
    model.load_state_dict({**model.state_dict(), **named})
    train = splits_of(job).train
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.reset_running_stats()
            layer.momentum = None
    with torch.no_grad():
        for rows in train.chunks(256):
            model.train()(train.take(rows)["image"])
    return model.state_dict()


def test_evaluated_and_exported_is_the_mean_with_its_own_statistics(tmp_path: Path) -> None:
    job = averaging_job(tmp_path, SWA)
    result = trainwright.run(job)
    wanted, found = _mean_and_statistics(job), exported(result)
    for name, value in wanted.items():
        assert torch.allclose(found[name].double(), value.double(), atol=1e-5), name
    images, classes = held_out(job)
    right = (outputs_of(wanted, images).argmax(1) == classes).double().mean()
    assert result.metrics["validation/accuracy"] == pytest.approx(float(right), abs=1e-6)


def test_training_itself_is_as_without(tmp_path: Path) -> None:
    trainwright.run(averaging_job(tmp_path, SWA))
    averaged = list(SEEN)
    trainwright.run(averaging_job(tmp_path, {"name": "output_scale"}))
    assert all(a[name].equal(b[name]) for a, b in zip(averaged, SEEN, strict=True) for name in a)


def test_before_the_first_set_the_model_itself_is_evaluated(tmp_path: Path) -> None:
    late = {"name": "swa", "start": 0.9}
    with_it = trainwright.run(averaging_job(tmp_path, late, training={"epochs": 3, "steps": None}))
    assert len(SEEN) > 2
    first = _validation(with_it)[0]
    without = trainwright.run(averaging_job(tmp_path, {"name": "output_scale"}))
    assert first == _validation(without)[0]


def _validation(result: trainwright.RunResult) -> list[float]:
    from trainwright.storage import Folder
    from trainwright.tracking import read_all

    rows = [row["values"] for row in read_all(Folder(result.storage)) if row["kind"] == "metrics"]
    return [values["validation/loss"] for values in rows if "validation/loss" in values]


def test_a_continued_run_has_the_mean_of_a_whole_one(tmp_path: Path) -> None:
    whole = trainwright.run(averaging_job(tmp_path, SWA, training=_TRAINING))
    saved = averaging_job(tmp_path, SWA, training=_TRAINING, name="again")
    again = trainwright.run(saved)
    folder = Path(again.storage.removeprefix("file://"))
    record = folder / "run.json"
    record.write_text(record.read_text().replace('"finished"', '"interrupted"', 1))
    newest = max((folder / "checkpoints").iterdir(), key=lambda path: int(path.name.split("-")[1]))
    for file in newest.iterdir():
        file.unlink()
    rest = run_job(trainwright.Job.from_dict(saved))
    ours, theirs = exported(whole), exported(rest)
    assert all(ours[name].equal(theirs[name]) for name in ours)


_TRAINING = {"epochs": 3, "checkpoint_every": "5 steps", "keep": {"last": 9}}
