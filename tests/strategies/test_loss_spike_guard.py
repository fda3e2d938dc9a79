"""The loss-spike guard: what counts as a spike, what follows from it, and exact resumption."""

from __future__ import annotations

import math
import re
import statistics
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stories import Story

from trainwright.storage import Folder
from trainwright.strategy import Step
from trainwright.testing import Rig
from trainwright_strategies.loss_spike_guard import LossSpikeGuard, excess


class Judged(Step):
    """A step that knows nothing but its loss."""

    def __init__(self, index: int, loss: float) -> None:
        super().__init__(index, 0, [], [], None)  # type: ignore[arg-type]
        self.value = loss
        self.reason: str | None = None

    def training_loss(self) -> float:
        return self.value

    def skip(self, reason: str) -> None:
        self.reason = reason


def left_out(strategy: LossSpikeGuard, losses: list[float], first: int = 0) -> list[int]:
    """Numbers of the updates that the strategy leaves out, from ``first``."""
    found = []
    for index, loss in enumerate(losses, start=first):
        step = Judged(index, loss)
        strategy.gradients(step)
        if step.reason is not None:
            found.append(index)
    return found


@given(
    st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=30),
    st.floats(-1e3, 1e3),
    st.floats(1e-3, 1.0),
)
def test_excess_is_by_the_book(history: list[float], loss: float, min_spread: float) -> None:
    median = statistics.median(history)
    deviation = 1.4826 * statistics.median(abs(value - median) for value in history)
    spread = max(deviation, min_spread * abs(median))
    if spread > 1e-9:
        expected = (loss - median) / spread
        assert excess(loss, history, min_spread) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_worked_numbers() -> None:
    history = [1.0, 2.0, 3.0, 4.0, 100.0]
    assert excess(3.0 + 1.4826, history, 0.05) == pytest.approx(1.0)
    assert excess(1.1, [1.0, 1.0, 1.0], 0.05) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("options", "losses", "expected"),
    [
        ({}, [1.0, 1.1, 0.9, 1.0, 9.0, 1.0], [4]),
        ({}, [1.0, 1.1, 0.9, 1.0, 0.0, 1.0], []),
        ({}, [1.0, 1.1, 9.0, 1.0, 1.0, 1.0], []),
        ({"threshold": 200.0}, [1.0, 1.1, 0.9, 1.0, 9.0], []),
        ({"patience": 1}, [1.0, 1.1, 0.9, 1.0, 9.0, 9.0, 9.0, 9.0, 9.0, 99.0], [4, 9]),
        ({"patience": 2}, [1.0, 1.1, 0.9, 1.0, 9.0, 9.0, 9.0, 9.0], [4, 5]),
        ({"patience": 2}, [1.0, 1.1, 0.9, 1.0, 9.0, 1.0, 9.0, 1.0, 9.0], [4, 6, 8]),
        ({}, [1.0, 1.1, 0.9, 1.0, math.nan, math.inf, 9.0], [6]),
        ({"min_spread": 0.5}, [1.0, 1.0, 1.0, 1.0, 4.0], []),
        ({"min_spread": 0.01}, [1.0, 1.0, 1.0, 1.0, 1.2], [4]),
    ],
)
def test_leaves_out(options: dict[str, Any], losses: list[float], expected: list[int]) -> None:
    strategy = LossSpikeGuard(**{"warmup": 3, "window": 5, **options})
    assert left_out(strategy, losses) == expected


def test_a_spike_does_not_count_for_what_is_usual() -> None:
    strategy = LossSpikeGuard(warmup=3, window=5)
    left_out(strategy, [1.0, 1.1, 0.9, 50.0])
    assert list(strategy.losses) == [1.0, 1.1, 0.9]


def test_the_reason_names_both_numbers() -> None:
    strategy = LossSpikeGuard(warmup=3, window=5)
    left_out(strategy, [1.0, 1.1, 0.9])
    step = Judged(3, 50.0)
    strategy.gradients(step)
    assert step.reason == "its loss, 50, stands out from the median 1"


SPIKING = """
from torch import Tensor, nn


class Spiking(nn.Module):
    def forward(self, logits: Tensor, target: Tensor, sample_id: Tensor) -> Tensor:
        factor = 1000.0 if (sample_id == 79).any() else 1.0
        return factor * nn.functional.cross_entropy(logits, target)
"""


def test_in_training_the_batches_of_a_bad_sample_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "spiking.py").write_text(SPIKING)
    job = {
        "name": "spikes",
        "data": {"source": "digits", "batch_size": 150, "validation": 0.2},
        "model": {"name": "mlp", "options": {"hidden": [16]}},
        "objective": {"name": "spiking.py:Spiking"},
        "strategies": [{"name": "loss_spike_guard", "options": {"warmup": 4, "window": 20}}],
        "optimizer": {"name": "sgd", "options": {"lr": 0.1}},
        "training": {"epochs": 3, "record_samples": True},
    }
    with Rig(tmp_path / "runs") as rig:
        trace = rig.train(job, base=tmp_path)
    story = Story.of(Folder(trace.url))
    holding = [step for step, ids in sorted(story.samples.items()) if 79 in ids and step > 4]
    assert len(holding) >= 2
    assert [step for name, step in sorted(trace.metrics) if "skipped" in name] == holding
    assert [event.split(":")[0] for event in story.events if "left out" in event] == [
        f"update {step} was left out" for step in holding
    ]
    assert trace.metrics["train/loss", holding[0]] > 500


@pytest.mark.parametrize("cut", range(1, 9))
def test_resumes_exactly(cut: int) -> None:
    losses = [1.0, 1.1, 0.9, 1.0, 9.0, 9.0, 9.0, 1.0, 9.0]
    options = {"warmup": 3, "window": 4, "patience": 2}
    whole, first = LossSpikeGuard(**options), LossSpikeGuard(**options)
    asked = left_out(whole, losses)
    before = left_out(first, losses[:cut])
    second = LossSpikeGuard(**options)
    second.load_state_dict(first.state_dict())
    assert before + left_out(second, losses[cut:], cut) == asked
    assert asked
    assert second.state_dict() == whole.state_dict()


def test_a_new_phase_begins_anew() -> None:
    strategy = LossSpikeGuard(warmup=2, window=5)
    left_out(strategy, [1.0, 1.1, 9.0])
    strategy.phase_begin("next")
    assert strategy.state_dict() == {"losses": [], "in_a_row": 0}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 0.0}, "threshold must be a number above 0"),
        ({"threshold": math.nan}, "threshold must be a number above 0"),
        ({"min_spread": 0.0}, "min_spread must be a number above 0"),
        ({"window": 1}, "window must be a whole number of at least 2"),
        ({"warmup": 1}, "warmup must be a whole number of at least 2"),
        ({"warmup": 101}, "warmup must be at most window, 100, got 101"),
        ({"patience": 0}, "patience must be a whole number of at least 1"),
    ],
)
def test_ill_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        LossSpikeGuard(**options)
