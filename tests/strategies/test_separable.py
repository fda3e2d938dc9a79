"""Margins, and what the methods for separable data refuse."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import trainwright
from trainwright.objective import Term, WeightedSum
from trainwright.strategy import Context, Plan
from trainwright_strategies.batch_perceptron import BatchPerceptron, perceptron_loss
from trainwright_strategies.normalized_lr_gd import NormalizedLrGd
from trainwright_strategies.separable import margins
from trainwright_strategies.separation import Separation

FULL = Context(seed=0, steps_per_epoch=1)
SGD = Plan(None, 10, 100, None, {"lr": 1.0}, {}, "sgd")


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
@pytest.mark.parametrize("target", [[0, 1, 1, 0], [-1, 1, 1, -1]])
def test_margins_of_one_output(shape: tuple[int, ...], target: list[int]) -> None:
    logits = torch.tensor([3.0, -2.0, 0.0, -1.0]).reshape(shape)
    found = margins(logits, torch.tensor(target))
    assert found.tolist() == [-3.0, -2.0, 0.0, 1.0]
    assert found.dtype == torch.float64


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_margins_of_several_outputs(dtype: torch.dtype) -> None:
    logits = torch.tensor([[1.0, 4.0, 2.0], [3.0, -100.0, 3.0]], dtype=dtype)
    target = torch.tensor([1, 0])
    assert margins(logits, target).tolist() == [2.0, 0.0]
    wrong = torch.sigmoid(-margins(logits, target, soft=True))
    expected = 1 - logits.double().softmax(1).gather(1, target[:, None])[:, 0]
    assert torch.allclose(wrong, expected, atol=1e-12)


@pytest.mark.parametrize("target", [[0, 2], [-1, 0], [0.5, 1]])
def test_other_targets_are_refused(target: list[float]) -> None:
    with pytest.raises(ValueError, match="must be 0 and 1, or -1 and 1"):
        margins(torch.zeros(2), torch.tensor(target))


def test_the_perceptron_counts_zero_as_wrong() -> None:
    margin = torch.tensor([0.0, -2.0, 1.0, 3.0], dtype=torch.float64, requires_grad=True)
    perceptron_loss(margin).backward()
    assert margin.grad.tolist() == [-0.25, -0.25, 0.0, 0.0]
    apart = torch.tensor([0.3, -2.0, 1.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(perceptron_loss, apart)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer_name": "adamw"}, "must be plain SGD, got adamw"),
        ({"optimizer": {"lr": 1.0, "momentum": 0.9}}, "plain SGD, got momentum: 0.9"),
        ({"optimizer": {"lr": 1.0, "weight_decay": 0.1}}, "plain SGD, got weight_decay: 0.1"),
        ({"max_grad_norm": 1.0}, "max_grad_norm must be left out"),
    ],
)
def test_other_steps_are_refused(changes: dict[str, Any], message: str) -> None:
    plan = Plan(**{**vars(SGD), **changes})
    for strategy in (NormalizedLrGd(), BatchPerceptron()):
        with pytest.raises(ValueError, match=message):
            strategy.plan(plan)
        assert strategy.plan(SGD) is SGD
    assert NormalizedLrGd(init="model", experimental=True).plan(plan) is plan


def test_other_models_batches_and_losses_are_refused() -> None:
    deep, wide = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), nn.Linear(3, 3)
    parts = Context(seed=0, steps_per_epoch=4)
    for strategy in (NormalizedLrGd(), BatchPerceptron()):
        with pytest.raises(ValueError, match="one linear layer"):
            strategy.model(deep, FULL)
        with pytest.raises(ValueError, match="got 3 outputs"):
            strategy.model(wide, FULL)
        with pytest.raises(ValueError, match="an epoch has 4 updates"):
            strategy.model(nn.Linear(3, 2), parts)
    with pytest.raises(ValueError, match="an epoch has 4 updates"):
        Separation().model(wide, parts)
    free = NormalizedLrGd(init="model", stop="never", experimental=True)
    assert free.model(deep, parts) is deep
    for loss in (nn.MSELoss(), nn.CrossEntropyLoss(reduction="sum")):
        with pytest.raises(ValueError, match="mean logistic loss"):
            NormalizedLrGd().objective(WeightedSum([Term(loss, "loss")]))


@pytest.mark.parametrize("option", ["mode", "init", "stop"])
def test_unknown_words_are_refused(option: str) -> None:
    with pytest.raises(ValueError, match=f"{option} must be"):
        NormalizedLrGd(**{option: "other"})


def test_a_network_cannot_start_at_zero() -> None:
    with pytest.raises(ValueError, match="set init: model"):
        NormalizedLrGd(experimental=True)
    linear = nn.Linear(3, 2)
    NormalizedLrGd().model(linear, FULL)
    assert not any(p.any() for p in linear.parameters())


@pytest.mark.parametrize(("optimizer", "refused"), [("sgd", False), ("adam", True)])
def test_the_plan_of_a_job_names_its_optimizer(optimizer: str, refused: bool, tmp_path) -> None:
    job = trainwright.Job.from_dict(
        {
            "name": "separable",
            "data": {
                "source": {"name": "digits", "classes": [0, 1]},
                "batch_size": 400,
                "validation": 0.2,
            },
            "model": {"name": "mlp", "hidden": []},
            "objective": "cross_entropy",
            "strategies": ["normalized_lr_gd", "separation"],
            "optimizer": {"name": optimizer, "lr": 0.5},
            "training": {"steps": 1000, "evaluate_every": "10 steps"},
            "cluster": {"workers": 0},
            "tracking": {"enabled": False},
            "storage": str(tmp_path),
        }
    )
    if refused:
        with pytest.raises(trainwright.InputError, match="plain SGD, got adam"):
            trainwright.run(job)
    else:
        assert trainwright.run(job).steps <= 30  # it stops once all is separated
