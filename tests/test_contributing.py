"""The example plugins in CONTRIBUTING.md work as written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from trainwright.strategy import Context, Loss, Order, Strategy
from trainwright.strategy.compose import wrap_loss
from trainwright.strategy.tables import SampleTables
from trainwright.testing import AggregatorCase, Miniature, Quadratics

TEXT = (Path(__file__).resolve().parents[1] / "CONTRIBUTING.md").read_text()


def example(class_name: str) -> Any:
    (code,) = [c for c in re.findall(r"```python\n(.*?)```", TEXT, re.S) if class_name in c]
    namespace: dict[str, Any] = {}
    exec(compile(code, "CONTRIBUTING.md", "exec"), namespace)
    return namespace[class_name]


def test_objective() -> None:
    error = torch.tensor([-2.0, 0.0, 0.1, 3.0], dtype=torch.float64)
    for scale in (1.0, 2.0):
        losses = example("LogCosh")(scale, reduction="none")(error[:, None], torch.zeros(4))
        expected = torch.cosh(scale * error).log() / scale
        torch.testing.assert_close(losses, expected, atol=1e-6, rtol=0)
        mean = example("LogCosh")(scale)(error[:, None], torch.zeros(4))
        torch.testing.assert_close(mean, expected.mean(), atol=1e-6, rtol=0)
    with pytest.raises(ValueError, match="scale must be above 0"):
        example("LogCosh")(0.0)


def test_conformance_checks(tmp_path: Path, two_workers: Any) -> None:
    """As written, but on the test run's worker processes."""
    (code,) = [c for c in re.findall(r"```python\n(.*?)```", TEXT, re.S) if "check_all" in c]
    namespace: dict[str, Any] = {}
    exec(compile(code, "CONTRIBUTING.md", "exec"), namespace)
    make_rig, done = namespace["Rig"], []
    namespace["Rig"] = lambda folder: make_rig(folder, {2: two_workers})
    checks = namespace["checks_of"]
    namespace["checks_of"] = lambda case: [*checks(case), done.append]
    namespace["check_all"](tmp_path)
    assert len(done) == 1


class Compute:
    couples = "sample"

    def forward(self, batch):
        return {"logits": batch["x"], "embedding": 2 * batch["x"]}

    def per_sample(self, batch, outputs=None):
        return (self.forward(batch) if outputs is None else outputs)["logits"]

    def __call__(self, batch, outputs=None) -> Loss:
        return Loss((self.forward(batch) if outputs is None else outputs)["logits"].mean())


def test_strategy() -> None:
    make = example("ActivationPenalty")
    assert issubclass(make, Strategy)
    batch = {"x": torch.tensor([1.0, 3.0])}
    loss = wrap_loss([make(weight=0.5)], Compute())(batch)
    assert loss.value == 2.0 + 0.5 * 20.0
    assert loss.logged["activation_penalty"] == 10.0
    assert wrap_loss([make(**make.declares.neutral)], Compute())(batch).value == 2.0
    with pytest.raises(ValueError, match="at least 0"):
        make(weight=-1.0)
    assert nn.Module not in make.__mro__


def test_aggregator(tmp_path: Path) -> None:
    """As written, but with the example in place of a plugin of the catalogue."""
    (code,) = [c for c in re.findall(r"```python\n(.*?)```", TEXT, re.S) if "NormGuard" in c]
    (tmp_path / "norm_guard.py").write_text(code)
    case = AggregatorCase("norm_guard.py:NormGuard", {"factor": 0.7}, base=tmp_path)
    example("check_aggregator")(case)
    with pytest.raises(ValueError, match="factor must be above 0"):
        example("NormGuard")(0.0)

    guard = example("NormGuard")(2.0)
    played = Miniature(guard, Quadratics(torch.zeros(2, 2)))
    played.receive({0: torch.tensor([3.0, 4.0]), 1: torch.tensor([0.0, 1.0])})
    assert played.weights.tolist() == [1.5, 2.5]
    played.receive({0: torch.tensor([0.0, 12.0]), 1: torch.tensor([0.0, 5.0])})
    assert played.weights.tolist() == [1.5, 2.5 + (6.0 + 5.0) / 2], "12 is more than twice 3"


def test_aggregator_checks() -> None:
    example("check_aggregator")()


def test_ordering_strategy() -> None:
    hard_first = example("HardFirst")()
    tables = SampleTables(6, torch.device("cpu"))
    hard_first.begin(Context(seed=0, tables=tables))
    rows = Order(np.array([2, 0, 1]), None, np.array([5, 3, 1]))
    assert hard_first.order(0, rows).indices.tolist() == [2, 0, 1]
    batch = {"x": torch.tensor([1.0, 3.0, 2.0]), "sample_id": torch.tensor([5, 3, 1])}
    assert wrap_loss([hard_first], Compute())(batch).value == 2.0
    tables.settle()
    assert hard_first.order(1, rows).indices.tolist() == [1, 2, 0]
