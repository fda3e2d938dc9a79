"""Losses, gradients and weights that are not finite: stopped, skipped, or rewound and skipped."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from stories import Story

from trainwright.storage import Folder
from trainwright.testing import Rig, Setup
from trainwright.testing.trace import differences
from trainwright.training.guard import Guard, NumericsError, Rewind

BROKEN = '''"""A cross-entropy that breaks in batches with a certain sample."""

import torch
from torch import Tensor, nn


class Broken(nn.Module):
    def __init__(self, sample: int = -1, finite: bool = False) -> None:
        super().__init__()
        self.sample, self.finite = sample, finite

    def forward(self, logits: Tensor, target: Tensor, sample_id: Tensor) -> Tensor:
        loss = nn.functional.cross_entropy(logits, target)
        if not (sample_id == self.sample).any():
            return loss
        if self.finite:
            # The square root has no slope at zero: the loss is what it was, its gradient is nan.
            return loss + torch.sqrt(0 * logits.square().sum())
        return loss * float("nan")
'''

JOB: dict[str, Any] = {
    "name": "broken",
    "data": {"source": "digits", "batch_size": 300, "validation": 0.3},
    "model": {"name": "mlp", "options": {"hidden": [12]}},
    "objective": {"name": "broken.py:Broken", "options": {}},
    "optimizer": {"name": "adamw", "options": {"lr": 0.01}},
    "training": {"epochs": 3, "checkpoint_every": "3 steps", "evaluate_every": "4 steps"},
    "metrics": ["accuracy"],
}


def job(action: str = "stop", sample: int = -1, finite: bool = False, **training: Any) -> dict:
    options = {"sample": sample, "finite": finite}
    return {
        **JOB,
        "objective": {"name": "broken.py:Broken", "options": options},
        "training": {**JOB["training"], "on_non_finite": action, **training},
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("guard")
    (folder / "broken.py").write_text(BROKEN)
    return folder


@pytest.fixture(scope="module")
def rig(folder: Path, two_workers: Any) -> Iterator[Rig]:
    with Rig(folder / "runs", {2: two_workers}) as rig:
        yield rig


@pytest.fixture(scope="module")
def broken(folder: Path, rig: Rig) -> tuple[int, list[int]]:
    """A training sample, and the updates (from 1) of the first two epochs in which it is met."""
    trace = rig.train(job(record_samples=True), base=folder)
    story = Story.of(Folder(trace.url))
    sample = story.samples[2][7]
    return sample, [step for step, ids in sorted(story.samples.items()) if sample in ids]


FAST = [Setup(), Setup("deepspeed", 2, 2)]
SLOW = [Setup("deepspeed", stage, workers) for stage in range(4) for workers in (1, 2)]
SETUPS = [*FAST, *(pytest.param(s, marks=pytest.mark.slow) for s in SLOW if s not in FAST)]


@pytest.mark.parametrize("setup", SETUPS, ids=str)
@pytest.mark.parametrize("finite", [False, True], ids=["loss", "gradient"])
def test_rewinding_and_skipping_end_alike(
    finite: bool, setup: Setup, folder: Path, rig: Rig, broken: tuple[int, list[int]]
) -> None:
    sample, steps = broken
    skipped = rig.train(job("skip", sample, finite), setup, folder)
    rewound = rig.train(job("rewind", sample, finite), setup, folder)
    assert list(differences(skipped, rewound)) == []
    counts = {step: v for (key, step), v in skipped.metrics.items() if "skipped" in key}
    assert counts == {step: number + 1 for number, step in enumerate(steps)}
    assert all(math.isfinite(value) for value in skipped.metrics.values())
    assert all(torch.isfinite(value).all() for value in skipped.tensors.values())
    stories = [Story.of(Folder(trace.url)) for trace in (skipped, rewound)]
    assert len(stories[0].attempts) == 1 < len(stories[1].attempts) <= 1 + len(steps)
    for story in stories:
        assert sorted(story.samples) == steps
        assert all(sample in ids for ids in story.samples.values())
        told = [event for event in story.events if "left out" in event]
        what = "gradient" if finite else "loss"
        assert [e.split(" (")[0] for e in told] == [
            f"update {step} was left out: the {what} was not finite" for step in steps
        ]


def test_a_skipped_update_is_as_if_it_had_not_been(
    folder: Path, rig: Rig, broken: tuple[int, list[int]]
) -> None:
    sample, steps = broken
    before = {
        step: value
        for (name, step), value in rig.train(job(), base=folder).metrics.items()
        if name == "train/loss" and step < steps[0]
    }
    skipped = rig.train(job("skip", sample), base=folder)
    assert {s: v for (n, s), v in skipped.metrics.items() if n == "train/loss" and s in before} == (
        before
    )
    assert skipped.steps == len({step for _, step in skipped.metrics})


def test_stop_says_where_and_what_to_do(
    folder: Path, rig: Rig, broken: tuple[int, list[int]]
) -> None:
    sample, steps = broken
    with pytest.raises(NumericsError) as caught:
        rig.train(job("stop", sample), base=folder)
    text = str(caught.value)
    assert text.startswith(f"the loss of update {steps[0]} is nan (300 samples, ids ")
    assert "training.max_grad_norm" in text
    assert "training.on_non_finite: skip" in text


@pytest.mark.parametrize("recorded", [False, True], ids=["alone", "with all"])
def test_the_samples_of_the_broken_update_are_recorded_once(
    folder: Path, broken: tuple[int, list[int]], tmp_path: Path, recorded: bool
) -> None:
    sample, steps = broken
    with Rig(tmp_path) as own, pytest.raises(NumericsError):
        own.train(job("stop", sample, record_samples=recorded), base=folder)
    (run,) = tmp_path.iterdir()
    assert sample in Story.of(run).samples[steps[0]]  # which refuses what is told twice


def test_stop_writes_no_weights_that_are_not_finite(
    folder: Path, rig: Rig, broken: tuple[int, list[int]], tmp_path: Path
) -> None:
    sample, steps = broken
    every = job("stop", sample, finite=True, checkpoint_every="1 steps", keep={"last": 9})
    with Rig(tmp_path) as own, pytest.raises(NumericsError) as caught:
        own.train(every, base=folder)
    assert f"after update {steps[0]} the weights are not finite" in str(caught.value)
    (run,) = tmp_path.iterdir()
    names = sorted(path.name for path in (run / "checkpoints").iterdir())
    assert names == [f"step-{step:08d}-a1" for step in range(1, steps[0])]


def test_who_ignores_it_goes_on_to_the_end(
    folder: Path, rig: Rig, broken: tuple[int, list[int]]
) -> None:
    sample, steps = broken
    trace = rig.train(job("ignore", sample), base=folder)
    assert trace.steps == rig.train(job(), base=folder).steps
    losses = trace.curve("train/loss")
    assert [math.isnan(loss) for loss in losses] == [
        n >= steps[0] for n in range(1, trace.steps + 1)
    ]


def test_more_than_max_skipped_is_too_much(
    folder: Path, rig: Rig, broken: tuple[int, list[int]]
) -> None:
    sample, steps = broken
    with pytest.raises(NumericsError) as caught:
        rig.train(job("skip", sample, max_skipped=1), base=folder)
    assert str(caught.value) == (
        f"update {steps[1]}: the loss was not finite, and 2 updates were left out by now; "
        "training.max_skipped is 1"
    )


def test_a_rewind_that_finds_nothing_ends() -> None:
    guard = Guard("rewind", until=12)
    with pytest.raises(NumericsError, match="not finite"):
        guard.give_up("after update 12 the weights are not finite", 12)
    with pytest.raises(Rewind) as caught:
        guard.give_up("the loss of update 13 is nan", 13)
    assert caught.value.until == 13


def test_what_is_put_into_tables_of_a_skipped_update_is_dropped(
    folder: Path, rig: Rig, broken: tuple[int, list[int]]
) -> None:
    (folder / "remembering.py").write_text(
        "import torch\n"
        "from trainwright.strategy import Strategy\n\n\n"
        "class Remembering(Strategy):\n"
        "    def begin(self, context):\n"
        "        self.table = context.table('losses', fold='sum')\n\n"
        "    def loss(self, batch, compute):\n"
        "        loss = compute(batch)\n"
        "        ids = batch['sample_id']\n"
        "        self.table.put(ids, loss.value.detach().expand(len(ids)))\n"
        "        return loss\n\n"
        "    def state_dict(self):\n"
        "        return {'sums': self.table.values}\n"
    )
    sample, _ = broken
    values = {**job("skip", sample), "strategies": [{"name": "remembering.py:Remembering"}]}
    trace = rig.train(values, base=folder)
    sums = next(iter(trace.strategies.values()))["sums"]
    assert torch.isfinite(sums).all()
    assert float(sums[sample]) == 0.0
    assert float(sums.max()) > 0.0
