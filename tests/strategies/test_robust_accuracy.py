"""The probe for accuracy under attack against a plain loop, alone and on several workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from trainwright.strategy import Context
from trainwright_strategies.robust_accuracy import RobustAccuracy, class_tail


class OneBatch:
    """An evaluation in one process: what the platform gives, without the platform."""

    split = "validation"
    context = Context(seed=0)

    def __init__(self, model: nn.Module, batch: dict[str, Tensor]) -> None:
        self.model = model
        self.batch = batch

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"logits": self.model(batch["x"])}

    def passes(self):
        extra = {name: value[:1] for name, value in self.batch.items()}
        yield self.batch, self.forward(self.batch), True
        yield extra, self.forward(extra), False

    def sum(self, value: Tensor) -> Tensor:
        return value


def evaluation() -> OneBatch:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, 4))
    x = torch.rand(60, 5)
    with torch.no_grad():
        model[2].weight.mul_(6)
        target = model(x).argmax(1)  # right on all but a few
        target[:6] = (target[:6] + 1) % 4
    return OneBatch(model, {"x": x, "target": target, "sample_id": torch.arange(60)})


def measured(probe: RobustAccuracy, given: OneBatch) -> dict[str, float]:
    with torch.no_grad():
        return dict(probe.evaluate(given))


def test_against_a_plain_loop() -> None:
    given = evaluation()
    found = measured(RobustAccuracy(0.1, steps=5, step_size=0.03), given)
    x, target = given.batch["x"], given.batch["target"]
    noise = Context(seed=0).rng("robust_accuracy", "sample", torch.arange(60)).uniform((5,))
    moved = (x + 0.1 * (2 * noise - 1)).clamp(0, 1)
    for _ in range(5):
        moved = moved.detach().requires_grad_()
        cross_entropy(given.model(moved), target, reduction="sum").backward()
        moved = (x + (moved + 0.03 * moved.grad.sign() - x).clamp(-0.1, 0.1)).clamp(0, 1)
    right = given.model(moved).argmax(1) == target
    classes = [right[target == k].double().mean().item() for k in range(4) if (target == k).any()]
    assert found["robust_accuracy"] == pytest.approx(right.double().mean().item())
    worst = sorted(classes)[: -(-3 * len(classes) // 10)]
    assert found["robust_accuracy_tail"] == pytest.approx(sum(worst) / len(worst))
    assert 0 < found["robust_accuracy"] < 0.9


def test_a_larger_ball_leaves_less_and_none_leaves_the_accuracy() -> None:
    given = evaluation()
    found = [measured(RobustAccuracy(eps), given)["robust_accuracy"] for eps in (0.0, 0.05, 0.3)]
    assert found[0] == pytest.approx(0.9)
    assert found[0] > found[1] > found[2]


def test_what_is_not_there() -> None:
    with pytest.raises(ValueError, match="no output 'scores'; it gives logits"):
        measured(RobustAccuracy(0.1, output="scores"), evaluation())
    with pytest.raises(ValueError, match="no column 'label'; it has x, target"):
        measured(RobustAccuracy(0.1, target="label"), evaluation())


def test_parameters_get_no_gradient() -> None:
    given = evaluation()
    measured(RobustAccuracy(0.1), given)
    assert all(parameter.grad is None for parameter in given.model.parameters())


def test_tail_of_the_classes() -> None:
    correct, count = torch.tensor([9.0, 1.0, 5.0, 0.0]), torch.tensor([10.0, 10.0, 10.0, 0.0])
    assert class_tail(correct, count, 0.3) == pytest.approx(0.1)
    assert class_tail(correct, count, 1 / 3) == pytest.approx(0.1)
    assert class_tail(correct, count, 0.5) == pytest.approx(0.3)
    assert class_tail(correct, count, 1.0) == pytest.approx(0.5)


@pytest.mark.parametrize("tail", [0.0, 1.5])
def test_ill_tail(tail: float) -> None:
    with pytest.raises(ValueError, match="tail must be above 0 and at most 1"):
        RobustAccuracy(0.1, tail=tail)


def _metrics(folder: str, stage: int | None) -> dict[str, float]:
    """Runs on every worker: the metrics of a short run."""
    import torch.distributed as dist

    from trainwright.job import Job
    from trainwright.training.worker import WorkOrder, work

    values: dict[str, Any] = {
        "name": "attacked",
        "data": {
            "source": {"name": "synthetic_classification", "num_samples": 90, "noise": 1.0},
            "validation": 0.35,
            "batch_size": 20,
        },
        "model": {"name": "mlp", "hidden": [16]},
        "objective": "cross_entropy",
        "strategies": [{"name": "robust_accuracy", "eps": 0.3, "steps": 3, "clip": None}],
        # 31 samples: one worker has a batch more than the other.
        "training": {"epochs": 2, "evaluation_batch_size": 5},
        "tracking": {"enabled": False},
        "cluster": {"workers": 0 if stage is None else dist.get_world_size()},
    }
    if stage is not None:
        values["deepspeed"] = {"zero_optimization": {"stage": stage}}
    job = Job.from_dict(values, base=folder)
    order = WorkOrder(job.spec.model_dump(mode="json"), folder, f"{folder}/run-{stage}")
    return dict(work(order, None).metrics)


@pytest.mark.parametrize("stage", [pytest.param(0, marks=pytest.mark.slow), 3])
def test_workers_evaluate_as_one_process(stage: int, two_workers: Any, tmp_path: Path) -> None:
    alone = _metrics(str(tmp_path), None)
    assert 0.1 < alone["validation/robust_accuracy"] < 1.0
    for together in two_workers.run(_metrics, str(tmp_path), stage):
        for name in ("robust_accuracy", "robust_accuracy_tail"):
            found = together[f"validation/{name}"]
            assert found == pytest.approx(alone[f"validation/{name}"], abs=1e-6)
