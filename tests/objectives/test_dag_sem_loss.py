"""dag_sem_loss: by hand, gradients, degenerate inputs, stationary points, refusals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from trainwright_objectives.dag_sem_loss import DagSemLoss
from trainwright_objectives.sem_scores import node_losses, score_gradient, steepest

WEIGHTS = torch.tensor([[0.0, 0.5, 0.0], [0.4, 0.0, -0.3], [0.0, 0.0, 0.0]], dtype=torch.float64)


def drawn(seed: int = 0, binary: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, features and weights of seven samples."""
    random = torch.Generator().manual_seed(seed)
    features = torch.randn(7, 3, dtype=torch.float64, generator=random)
    features = (features > 0).double() if binary else features
    return features @ WEIGHTS, features, WEIGHTS.repeat(7, 1, 1)


def by_hand(x: np.ndarray, w: np.ndarray, options: dict[str, Any]) -> float:
    """Sample by sample and node by node; the cycles by powers of the matrix."""
    total = 0.0
    for row in x:
        for j in range(3):
            z = sum(row[i] * w[i, j] for i in range(3))
            if options.get("score") == "logistic":
                total += math.log(1 + math.exp(z)) - row[j] * z
            else:
                total += 0.5 * (row[j] - z) ** 2
    a = w * w if options.get("of") == "square" else abs(w)
    kind, s = options.get("acyclicity", "exp"), options.get("s", 1.0)
    powers = [np.trace(np.linalg.matrix_power(a, k)) for k in range(80)]
    if kind == "logdet":
        h = sum(powers[k] / (k * s**k) for k in range(1, 80))
    elif kind == "exp":
        h = sum(powers[k] / math.factorial(k) for k in range(1, 80))
    else:
        h = sum(powers[k] * math.comb(3, k) / 3**k for k in range(1, 4))
    penalty = options["acyclicity_weight"] * h + 0.5 * options.get("quadratic_weight", 0) * h * h
    return total / len(x) + options.get("l1_weight", 0) * np.abs(w).sum() + penalty


OPTIONS: list[dict[str, Any]] = [
    {"acyclicity_weight": 0.0, "l1_weight": 0.1},
    {"acyclicity_weight": 2.0, "of": "square"},
    {"acyclicity_weight": 2.0, "quadratic_weight": 3.0},
    {"acyclicity_weight": 1.0, "acyclicity": "logdet", "s": 1.3},
    {"acyclicity_weight": 1.0, "acyclicity": "polynomial", "of": "square", "l1_weight": 0.2},
    {"acyclicity_weight": 1.0, "score": "logistic"},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_by_hand(options: dict[str, Any]) -> None:
    logits, features, weights = drawn(binary=options.get("score") == "logistic")
    found = DagSemLoss(**options)(logits, features, weights)
    expected = by_hand(features.numpy(), WEIGHTS.numpy(), options)
    assert found["loss"].item() == pytest.approx(expected, rel=1e-10)
    single = DagSemLoss(**options)(logits.float(), features.float(), weights.float())["loss"]
    assert single.item() == pytest.approx(expected, rel=1e-5)
    losses = DagSemLoss(**options, reduction="none")(logits, features, weights)["loss"]
    assert losses.shape == (7,)
    assert losses.mean().item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("options", OPTIONS)
def test_gradients(options: dict[str, Any]) -> None:
    _, features, _ = drawn(binary=options.get("score") == "logistic")
    loss = DagSemLoss(**options)

    def value(w: Tensor) -> Tensor:
        total: Tensor = loss(features @ w, features, w.expand(7, 3, 3))["loss"]
        return total

    weights = (WEIGHTS + 0.01).requires_grad_()
    assert torch.autograd.gradcheck(value, weights)


@pytest.mark.parametrize("score", ["least_squares", "logistic"])
def test_the_gradient_of_the_score_is_that_of_the_losses(score: Any) -> None:
    _, features, _ = drawn(binary=score == "logistic")
    weights = WEIGHTS.clone().requires_grad_()
    node_losses(features @ weights, features, score).sum().backward()
    torch.testing.assert_close(score_gradient(WEIGHTS, features, score), weights.grad)


def test_the_shortest_gradient_is_that_of_a_small_step() -> None:
    """How fast the score plus norm falls along the best direction, for weights 0 and not 0."""
    weights = torch.tensor([0.0, 0.0, 0.0, 2.0, -1.0], dtype=torch.float64)
    gradient = torch.tensor([0.2, 1.5, -0.7, 0.3, 0.5], dtype=torch.float64)
    expected = torch.tensor([0.0, 1.0, -0.2, 0.8, 0.0], dtype=torch.float64)
    torch.testing.assert_close(steepest(weights, gradient, 0.5), expected)
    for index, slope in enumerate(expected):
        eps = torch.zeros(5, dtype=torch.float64)
        eps[index] = 1e-6
        falls = [
            float(gradient @ step + 0.5 * ((weights + step).abs() - weights.abs()).sum()) / 1e-6
            for step in (eps, -eps)
        ]
        assert max(0.0, -min(falls)) == pytest.approx(abs(float(slope)), abs=1e-6)


def test_large_logits_are_finite_in_half_precision() -> None:
    logits = torch.tensor([[900.0, -900.0, 0.0]], dtype=torch.bfloat16, requires_grad=True)
    loss = DagSemLoss(score="logistic")(
        logits, torch.tensor([[0.0, 1.0, 1.0]]), torch.zeros(1, 3, 3, dtype=torch.bfloat16)
    )["loss"]
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(1800 + math.log(2), rel=1e-2)
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_without_penalty_any_weights_will_do() -> None:
    """A spectral radius that logdet refuses is no matter where h does not count."""
    weights = torch.full((2, 3, 3), 5.0)
    features = torch.zeros(2, 3)
    assert (
        DagSemLoss(acyclicity_weight=0, acyclicity="logdet")(features, features, weights)["h"] == 0
    )
    with pytest.raises(ValueError, match="spectral radius"):
        DagSemLoss(acyclicity="logdet")(features, features, weights)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"acyclicity_weight": -1.0}, "acyclicity_weight must be a number of at least 0, got -1"),
        ({"quadratic_weight": math.nan}, "quadratic_weight must be"),
        ({"l1_weight": math.inf}, "l1_weight must be"),
        ({"s": 0.0}, "s must be a number above 0, got 0"),
        ({"score": "poisson"}, "score must be one of least_squares, logistic, got 'poisson'"),
        ({"acyclicity": "det"}, "acyclicity must be one of logdet, exp, polynomial, got 'det'"),
        ({"of": "cube"}, "of must be one of absolute, square, got 'cube'"),
        ({"reduction": "max"}, "reduction must be"),
    ],
)
def test_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DagSemLoss(**options)


def test_shapes_that_do_not_fit_are_refused() -> None:
    logits, features, weights = drawn()
    for wrong in ((logits[:, :2], features, weights), (logits, features, weights[0])):
        with pytest.raises(ValueError, match=r"weights \(N, d, d\), got"):
            DagSemLoss()(*wrong)
