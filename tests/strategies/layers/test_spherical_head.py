"""The layer without outputs against the ordinary one, in values, gradients and steps."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from trainwright_objectives.z_loss import ZLoss, z_loss
from trainwright_strategies.layers.spherical_head import SphericalHead, Statistics

WIDTH, CLASSES, SIZE = 7, 23, 12

Spherical = Callable[[Tensor, Tensor, Tensor], Tensor]


def layers(bias: bool = True, max_condition: float = 1e6) -> tuple[SphericalHead, nn.Linear]:
    torch.manual_seed(0)
    layer = nn.Linear(WIDTH, CLASSES, bias=bias, dtype=torch.float64)
    return SphericalHead(layer, max_condition), layer


def batch(index: int = 0, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Features, and targets among which some occur twice."""
    generator = torch.Generator().manual_seed(index)
    features = torch.randn(SIZE, WIDTH, dtype=dtype, generator=generator)
    return features, torch.randint(CLASSES // 3, (SIZE,), generator=generator)


def squared_error(target: Tensor, total: Tensor, squares: Tensor) -> Tensor:
    return squares - 2 * target + 1


def taylor_softmax(target: Tensor, total: Tensor, squares: Tensor) -> Tensor:
    return -((1 + target + target**2 / 2) / (CLASSES + total + squares / 2)).log()


def z(target: Tensor, total: Tensor, squares: Tensor) -> Tensor:
    return ZLoss(a=2.0, b=1.0).of_statistics(target, total, squares, CLASSES)


LOSSES = {"squared_error": squared_error, "taylor_softmax": taylor_softmax, "z_loss": z}


def of_outputs(loss: Spherical, outputs: Tensor, target: Tensor) -> Tensor:
    own = outputs.gather(1, target[:, None])[:, 0]
    return loss(own, outputs.sum(dim=1), outputs.square().sum(dim=1))


@pytest.mark.parametrize("bias", [True, False])
def test_statistics_and_their_gradient_are_those_of_the_outputs(bias: bool) -> None:
    head, layer = layers(bias)
    features, target = batch()
    features.requires_grad_()
    outputs = layer(features)
    found = head.statistics(head.inputs(features), target)
    expected = (outputs.gather(1, target[:, None])[:, 0], outputs.sum(1), outputs.square().sum(1))
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-8, atol=1e-8)
        gradients = [
            torch.autograd.grad(value.sum(), features, retain_graph=True)[0]
            for value in (mine, theirs)
        ]
        torch.testing.assert_close(*gradients, rtol=1e-8, atol=1e-8)


def descended(
    head: SphericalHead, loss: Spherical, features: Tensor, target: Tensor, lr: float
) -> None:
    inputs = head.inputs(features)
    statistics = torch.stack(head.statistics(inputs, target)).requires_grad_()
    (gradient,) = torch.autograd.grad(loss(*statistics).mean(), statistics)
    head.descend(inputs, target, Statistics(*gradient), lr)


def ordinary_step(layer: nn.Linear, loss: Spherical, features: Tensor, target: Tensor) -> None:
    gradients = torch.autograd.grad(
        of_outputs(loss, layer(features), target).mean(), list(layer.parameters())
    )
    with torch.no_grad():
        for parameter, gradient in zip(layer.parameters(), gradients, strict=True):
            parameter -= 0.1 * gradient


@pytest.mark.parametrize("max_condition", [1e6, 1.0001, 1.0])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", LOSSES)
def test_steps_are_those_of_plain_sgd(name: str, bias: bool, max_condition: float) -> None:
    loss = LOSSES[name]
    head, layer = layers(bias, max_condition)
    began = layer.weight.detach().clone()
    for index in range(30):
        features, target = batch(index)
        ordinary_step(layer, loss, features, target)
        descended(head, loss, features, target, 0.1)
    assert (layer.weight - began).norm() > 0.1
    folds = int(head.folds)
    assert (folds == 0) if max_condition > 2 else folds > 0
    ordinary = head.as_linear()
    torch.testing.assert_close(ordinary.weight, layer.weight, rtol=1e-9, atol=1e-9)
    if bias:
        torch.testing.assert_close(ordinary.bias, layer.bias, rtol=1e-9, atol=1e-9)
    whole = head.written(head.rows)
    torch.testing.assert_close(head.gram, whole.T @ whole, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(head.sums, whole.sum(dim=0), rtol=1e-9, atol=1e-9)


def test_a_step_that_makes_the_factor_singular_is_taken_whole() -> None:
    """One sample with 2 * lr * g_squares * |h|^2 = 1 projects its direction out."""
    head, layer = layers(bias=False)
    features = torch.zeros(1, WIDTH, dtype=torch.float64)
    features[0, 2] = 1.0
    gradient = Statistics(*torch.tensor([[0.7], [0.0], [5.0]], dtype=torch.float64))
    head.descend(features, torch.tensor([4]), gradient, 0.1)
    wanted = layer.weight.detach().clone()
    wanted[:, 2] = 0
    wanted[4, 2] -= 0.07
    assert head.folds == 1
    torch.testing.assert_close(head.written(head.rows), wanted, rtol=1e-12, atol=1e-12)


def test_evaluation_gives_the_outputs_and_training_the_features() -> None:
    head, layer = layers()
    for index in range(5):
        descended(head, z, *batch(index), 0.1)
    features, _ = batch(9)
    assert head(features).equal(features)
    expected = head.as_linear()(features)
    torch.testing.assert_close(head.eval()(features), expected, rtol=1e-10, atol=1e-10)
    assert (expected - layer(features)).abs().max() > 1e-3


def test_the_z_loss_of_statistics_is_that_of_outputs() -> None:
    torch.manual_seed(1)
    outputs, target = torch.randn(50, CLASSES, dtype=torch.float64), torch.randint(CLASSES, (50,))
    for a, b in ((1.0, 0.0), (0.1, 28.0), (3.0, 1.0)):
        losses = of_outputs(
            lambda *s, a=a, b=b: ZLoss(a, b).of_statistics(*s, CLASSES), outputs, target
        )
        expected = z_loss(outputs, target, a, b, reduction="none")
        torch.testing.assert_close(losses, expected, rtol=1e-9, atol=1e-12)
    same = of_outputs(z, torch.full((2, CLASSES), 3.0, dtype=torch.float64), torch.tensor([0, 1]))
    assert same.isfinite().all()
    with pytest.raises(ValueError, match="at least 3 outputs, got 2"):
        ZLoss().of_statistics(torch.zeros(1), torch.zeros(1), torch.ones(1), 2)


def test_the_cost_of_a_step_does_not_depend_on_the_number_of_classes() -> None:
    """Floating-point operations, counted; copying the rows of the targets is no product."""
    from torch.utils.flop_counter import FlopCounterMode

    counts = []
    for classes in (50, 5000):
        head = SphericalHead(nn.Linear(WIDTH, classes))
        features, target = batch(dtype=torch.float32)
        with FlopCounterMode(display=False) as counter:
            descended(head, z, features, target, 0.1)
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 0
