"""Measures of calibration against slow definitions, and what a report makes of them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from trainwright.strategy import Context
from trainwright_strategies.auroc import auroc
from trainwright_strategies.calibration_report import (
    CalibrationReport,
    expected_calibration_error,
    kolmogorov_smirnov_error,
)
from trainwright_strategies.layers.views import rotated


def predictions(num: int = 200) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    confidence = torch.rand(num, generator=generator)
    return confidence, torch.rand(num, generator=generator) < confidence.square()


def test_expected_calibration_error_bin_by_bin() -> None:
    confidence, correct = predictions()
    for bins in (1, 10, 25):
        total = 0.0
        for index in range(bins):
            inside = (confidence > index / bins) & (confidence <= (index + 1) / bins)
            if inside.any():
                gap = confidence[inside].mean() - correct[inside].float().mean()
                total += abs(float(gap)) * float(inside.float().mean())
        found = expected_calibration_error(confidence, correct, bins)
        assert found == pytest.approx(total, abs=1e-6)
    ends = torch.tensor([0.0, 1.0])
    assert expected_calibration_error(ends, torch.tensor([False, True]), 5) == 0
    assert expected_calibration_error(ends, torch.tensor([True, False]), 5) == 1


def test_auroc_pair_by_pair() -> None:
    confidence, correct = predictions()
    confidence = (confidence * 20).round() / 20  # with ties
    pairs = [
        1.0 if a > b else 0.5 if a == b else 0.0
        for a in confidence[correct].tolist()
        for b in confidence[~correct].tolist()
    ]
    assert auroc(confidence, correct) == pytest.approx(sum(pairs) / len(pairs))
    assert math.isnan(auroc(confidence, torch.ones(200, dtype=torch.bool)))


def test_kolmogorov_smirnov_threshold_by_threshold() -> None:
    confidence, correct = predictions()
    confidence = (confidence * 20).round() / 20
    gaps = [
        abs(float((confidence - correct.float())[confidence <= top].sum())) / 200
        for top in confidence.unique()
    ]
    assert kolmogorov_smirnov_error(confidence, correct) == pytest.approx(max(gaps), abs=1e-6)


class OneBatch:
    """An evaluation in one process, with a pass that is not to be counted."""

    split = "validation"
    context = Context(seed=0)

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))
        x, target = torch.rand(50, 1, 4, 4), torch.randint(3, (50,))
        self.batch = {"x": x, "target": target, "sample_id": torch.arange(50)}

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"logits": self.model(batch["x"])}

    def passes(self):
        extra = {name: value[:1] for name, value in self.batch.items()}
        yield self.batch, self.forward(self.batch), True
        yield extra, self.forward(extra), False


def test_measures_of_samples_as_they_are_and_shifted() -> None:
    given, report = OneBatch(), CalibrationReport(10, rotation=90.0, noise=0.1)
    with torch.no_grad():
        found = report.evaluate(given)
        again = report.evaluate(given)
    assert found == again
    logits = given.model(given.batch["x"]).detach()
    confidence, correct = logits.softmax(1).amax(1), logits.argmax(1) == given.batch["target"]
    assert found["ece"] == pytest.approx(expected_calibration_error(confidence, correct, 10))
    assert found["brier"] == pytest.approx(float((confidence - correct.float()).square().mean()))
    assert found["auroc"] == pytest.approx(auroc(confidence, correct))
    assert found["ks"] == pytest.approx(kolmogorov_smirnov_error(confidence, correct))
    shifted = report._shifted(given.batch, given.context)["x"]
    noise = shifted - rotated(given.batch["x"], 90.0)
    assert noise.std().item() == pytest.approx(0.1, rel=0.1)
    right = given.model(shifted).argmax(1) == given.batch["target"]
    assert found["shifted/accuracy"] == pytest.approx(right.float().mean().item())
    plain = CalibrationReport(10)
    with torch.no_grad():
        names = plain.evaluate(given).keys()
    assert names == {"ece", "brier", "ks", "auroc"}


def test_ill_options() -> None:
    with pytest.raises(ValueError, match="n_bins must be at least 1, got 0"):
        CalibrationReport(0)
    with pytest.raises(ValueError, match="noise must be at least 0, got -1"):
        CalibrationReport(noise=-1)
