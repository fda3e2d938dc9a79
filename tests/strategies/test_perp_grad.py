"""perpGrad and the collapse of softmax: worked numbers, rounding, and weights that never shrink."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from trainwright.strategy import Context, Loss
from trainwright_strategies.perp_grad import PerpGrad, perpendicular
from trainwright_strategies.softmax_collapse import SoftmaxCollapse, collapsed

DTYPES = [torch.float32, torch.float64]


def slowly(gradient: list[float], weight: list[float], rescale: bool) -> list[float]:
    """Number by number, in plain Python floats."""
    inner = sum(g * w for g, w in zip(gradient, weight, strict=True))
    share = inner / sum(w * w for w in weight)
    found = [g - share * w for g, w in zip(gradient, weight, strict=True)]
    if rescale:
        factor = math.hypot(*gradient) / math.hypot(*found)
        found = [factor * value for value in found]
    return found


def test_worked_numbers() -> None:
    gradient, weight = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])
    found = perpendicular(gradient, weight)
    assert found.tolist() == pytest.approx([-1.788854, 1.341641], abs=1e-6)
    assert float(found @ weight) == pytest.approx(0.0, abs=1e-6)
    assert float(found.norm()) == pytest.approx(2.236068, abs=1e-6)
    shorter = perpendicular(gradient, weight, rescale=False)
    assert shorter.tolist() == pytest.approx([-0.32, 0.24], abs=1e-7)


@pytest.mark.parametrize("rescale", [True, False])
@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_against_slow_numbers(rescale: bool, dtype: torch.dtype, rtol: float) -> None:
    torch.manual_seed(0)
    gradient, weight = torch.randn(4, 5, 2, dtype=dtype), torch.randn(4, 5, 2, dtype=dtype)
    found = perpendicular(gradient, weight, rescale)
    expected = slowly(gradient.flatten().tolist(), weight.flatten().tolist(), rescale)
    assert found.shape == gradient.shape
    assert found.dtype == dtype
    assert found.flatten().tolist() == pytest.approx(expected, rel=rtol, abs=rtol)


def test_a_parallel_gradient_gives_nothing() -> None:
    """Also where rounding leaves something, which must not be blown up to full length."""
    torch.manual_seed(0)
    for size in (1, 2, 50):
        weight = torch.randn(size)
        for factor in (0.3, -1.7, 1e-20):
            assert not perpendicular(factor * weight, weight).any()


@pytest.mark.parametrize("scale", [1e-25, 1e-30, 1e25])
def test_tiny_and_huge_gradients_keep_their_length(scale: float) -> None:
    torch.manual_seed(0)
    gradient, weight = torch.randn(30), torch.randn(30)
    found = perpendicular(scale * gradient, weight)
    expected = perpendicular(gradient, weight)
    torch.testing.assert_close(found / scale, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [*DTYPES, torch.bfloat16, torch.float16])
def test_a_zero_weight_keeps_its_gradient_and_a_zero_gradient_stays(dtype: torch.dtype) -> None:
    gradient, zero = torch.randn(5, dtype=dtype), torch.zeros(5, dtype=dtype)
    torch.testing.assert_close(perpendicular(gradient, zero), gradient)
    assert perpendicular(zero, gradient).equal(zero)


def test_memory_of_another_order() -> None:
    torch.manual_seed(0)
    gradient, weight = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    there = gradient.to(memory_format=torch.channels_last)
    torch.testing.assert_close(perpendicular(there, weight), perpendicular(gradient, weight))


def test_under_plain_descent_weights_never_shrink() -> None:
    torch.manual_seed(0)
    weight, x = torch.randn(6, dtype=torch.float64), torch.randn(20, 6, dtype=torch.float64)
    for _ in range(50):
        weight.requires_grad_()
        (gradient,) = torch.autograd.grad(functional.softplus(-x @ weight).mean(), weight)
        weight = weight.detach()
        after = weight - 0.3 * perpendicular(gradient, weight)
        expected = weight.square().sum() + 0.09 * gradient.square().sum()
        assert float(after.square().sum()) == pytest.approx(float(expected), rel=1e-12)
        weight = after


class _Step(SimpleNamespace):
    """Gradients and weights as a training hands them out."""

    def __init__(self, index: int = 0, **weights: torch.Tensor) -> None:
        super().__init__(index=index, weights=weights, gradients=_Gradients())
        self.gradients.update({name: torch.ones_like(w) for name, w in weights.items()})

    def master(self, names: list[str]) -> dict[str, torch.Tensor]:
        return {name: self.weights[name] for name in names}


class _Gradients(dict[str, torch.Tensor]):
    def names(self) -> list[str]:
        return list(self)


def test_which_tensors_are_projected() -> None:
    weight = torch.tensor([3.0, 4.0])

    def touched(method: PerpGrad) -> list[str]:
        # As a training names them; patterns leave the beginning out.
        named = {"model.body": weight, "model.head": weight, "model.scale": torch.tensor([0.1])}
        step = _Step(**named)
        method.gradients(step)
        return [n for n, g in step.gradients.items() if not g.equal(torch.ones_like(g))]

    # Nothing is orthogonal to a single number.
    assert touched(PerpGrad()) == ["model.body", "model.head"]
    assert touched(PerpGrad(include=["h*"])) == ["model.head"]
    assert touched(PerpGrad(include=[])) == []
    assert touched(PerpGrad(min_numel=3)) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eps": 0.0}, "eps must be a number above 0"),
        ({"eps": math.inf}, "eps must be a number above 0"),
        ({"min_numel": 1}, "min_numel must be a whole number of at least 2"),
        ({"min_numel": 2.5}, "min_numel must be a whole number of at least 2"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PerpGrad(**options)


def test_a_pattern_that_fits_nothing() -> None:
    with pytest.raises(ValueError, match=r"'haed\.\*' fits none of weight, bias"):
        PerpGrad(include=["haed.*"]).model(nn.Linear(2, 2), Context(seed=0))


def test_the_share_of_zero_losses() -> None:
    logits = torch.tensor([[30.0, 0.0], [17.0, 0.0], [16.0, 0.0], [0.0, 0.0]])
    target = torch.zeros(4, dtype=torch.long)
    each = functional.cross_entropy(logits, target, reduction="none")
    assert collapsed(each).item() == 0.5
    assert collapsed(functional.cross_entropy(logits.double(), target, reduction="none")) == 0


class _Given:
    def __init__(self, losses: torch.Tensor) -> None:
        self.losses = losses

    def forward(self, batch: Any) -> dict[str, torch.Tensor]:
        return {}

    def per_sample(self, batch: Any, outputs: Any) -> torch.Tensor:
        return self.losses

    def __call__(self, batch: Any, outputs: Any) -> Loss:
        return Loss(self.losses.mean(), {"other": torch.tensor(1.0)})


def test_the_probe_measures_share_and_alignment() -> None:
    probe, context = SoftmaxCollapse(every=2), Context(seed=0)
    probe.begin(context)
    loss = probe.loss({}, _Given(torch.tensor([0.0, 3.0, 0.0, 0.0])))
    assert loss.logged["softmax_collapse"].item() == 0.75
    assert loss.logged["other"].item() == 1.0
    step = _Step(a=torch.tensor([-1.0, -1.0]), b=torch.tensor([-2.0]))
    probe.gradients(step)
    assert context.take_logged()["softmax_collapse/alignment"] == pytest.approx(4 / 18**0.5)
    step.index = 1
    probe.gradients(step)
    assert not context.take_logged()
    probe.gradients(_Step(a=torch.zeros(2)))
    assert context.take_logged()["softmax_collapse/alignment"] == 0.0


@pytest.mark.parametrize("every", [0, 1.5, True])
def test_wrong_options_of_the_probe(every: Any) -> None:
    with pytest.raises(ValueError, match="every must be a whole number of at least 1"):
        SoftmaxCollapse(every)
