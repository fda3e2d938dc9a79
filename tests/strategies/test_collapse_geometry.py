"""Predictions of neural collapse: worked numbers, closed-form losses, ideal features."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from trainwright_strategies.collapse_geometry import (
    ClassStatistics,
    Frame,
    distances,
    frame,
    layer_distances,
    strengths,
    threshold,
    within_over_between,
)
from trainwright_strategies.layers.deep_linear import product

COUNTS = torch.tensor([200.0, 100.0, 50.0, 50.0], dtype=torch.float64)
SHARES = COUNTS / 400
DECAY, TAU = 5e-4, 400 * 5e-4


def close(found: Tensor, expected: list[float], tolerance: float = 1e-6) -> None:
    torch.testing.assert_close(
        found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=tolerance
    )


def statistics(features: Tensor, target: Tensor, classes: int) -> ClassStatistics:
    found = ClassStatistics.zeros(classes, features.shape[1])
    for part in torch.arange(len(target)).split(3):
        found.add(features[part], target[part])
    return found


def class_loss(strength: Tensor, share: float, depth: int, decay: float, tau: float) -> Tensor:
    return share / 2 * tau / (strength + tau) + depth / 2 * decay * strength ** (1 / depth)


def test_one_layer() -> None:
    expected = frame("gof", COUNTS, 1, DECAY, TAU)
    close(expected.strength, [13.942136, 9.8, 6.871068, 6.871068])
    close(expected.features().diagonal(), [0.069711, 0.098, 0.137421, 0.137421])
    close(expected.outputs.diagonal(), [0.985858, 0.98, 0.971716, 0.971716])
    # Larger classes have longer rows and shorter features.
    ratio = expected.strength * DECAY / (COUNTS * DECAY)
    close(expected.features().diagonal(), ratio.tolist(), 1e-9)


@pytest.mark.parametrize(
    ("depth", "roots", "singular"),
    [
        (2, [13.025473, 10.314374, 8.156211], [2.413539, 2.147726, 1.909861]),
        (3, [6.418415, 5.390237, 4.522701], None),
        (6, None, [1.459576, 1.388726, 1.321044]),
    ],
)
def test_several_layers(
    depth: int, roots: list[float] | None, singular: list[float] | None
) -> None:
    found = strengths(SHARES, depth, DECAY, TAU)
    if roots is not None:
        close((found / TAU)[:3] ** (1 / depth), roots)
    if singular is not None:
        close(found[:3] ** (1 / (2 * depth)), singular)
    assert found[2] == found[3]


@pytest.mark.parametrize(("depth", "value"), [(2, 0.5), (3, 0.529134), (6, 0.637270)])
def test_thresholds(depth: int, value: float) -> None:
    assert threshold(depth) == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("depth", [1, 2, 3, 6])
def test_strengths_minimise_the_loss_of_a_class(depth: int) -> None:
    """Against a search on a grid; shares and decays on both sides of the threshold."""
    generator = torch.Generator().manual_seed(depth)
    grid = torch.cat([torch.zeros(1), torch.logspace(-6, 3, 100_000)]).double()
    collapsed = 0
    for _ in range(30):
        share, decay, tau = torch.rand(3, dtype=torch.float64, generator=generator).tolist()
        found = strengths(torch.tensor([share]).double(), depth, decay, tau)
        best = class_loss(grid, share, depth, decay, tau).min()
        assert class_loss(found, share, depth, decay, tau) <= best + 1e-9
        collapsed += int(found == 0)
    assert 0 < collapsed < 30


@pytest.mark.parametrize("depth", [2, 3, 6])
def test_the_threshold_decides_and_not_the_stationary_point(depth: int) -> None:
    """Just above it the stationary point is still there, and worse than 0."""
    shares = torch.ones(1, dtype=torch.float64)
    decays = [threshold(depth) * (1 + sign * 1e-3) / depth for sign in (-1, 1)]
    below, above = (strengths(shares, depth, decay, 1.0) for decay in decays)
    assert below > 0
    assert above == 0
    at_zero = class_loss(torch.zeros(1).double(), 1.0, depth, decays[1], 1.0)
    assert class_loss(below, 1.0, depth, decays[0], 1.0) < at_zero
    assert class_loss(below, 1.0, depth, decays[1], 1.0) > at_zero


def test_a_small_start_ends_at_zero_above_the_threshold() -> None:
    """Free features and two layers, one class, a cost of 0.501: nothing is left but its loss."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(10, 3), (3, 3), (1, 3)]
    free = [torch.randn(shape, dtype=torch.float64, generator=generator) for shape in shapes]
    free = [(0.1 * value).requires_grad_() for value in free]
    optimizer = torch.optim.LBFGS(free, max_iter=500, line_search_fn="strong_wolfe")

    def closure() -> Any:
        optimizer.zero_grad()
        features, first, second = free
        errors = (features @ first.T @ second.T - 1).square().sum() + features.square().sum()
        decay = first.square().sum() + second.square().sum()
        loss = errors / 20 + 0.501 / 4 * decay
        loss.backward()
        return loss

    optimizer.step(closure)
    assert closure().item() == pytest.approx(0.5, abs=1e-9)
    assert strengths(torch.ones(1).double(), 2, 0.501 / 2, 1.0) == 0


def test_minority_collapse() -> None:
    """40, 20 and 5 samples, two layers, decays of 0.02: the smallest class gets nothing."""
    counts = torch.tensor([40.0, 20.0, 5.0], dtype=torch.float64)
    found = strengths(counts / 65, 2, 0.02, 65 * 0.02)
    close(found.sqrt(), [3.1505, 2.3602, 0.0], 1e-4)
    total = sum(
        class_loss(s, float(n) / 65, 2, 0.02, 65 * 0.02) for s, n in zip(found, counts, strict=True)
    )
    assert float(total) == pytest.approx(0.21342, abs=1e-5)


def test_one_layer_collapses_where_its_own_condition_says() -> None:
    """Positive where N^2 * lambda_W * lambda_H < n_k."""
    for number, alive in ((41.0, True), (39.0, False)):
        share = torch.tensor([number / 100]).double()
        assert bool(strengths(share, 1, 4e-2, 100 * 1e-1) > 0) is alive


def test_equal_classes_are_the_identity() -> None:
    expected = frame("gof", torch.full((4,), 50.0).double(), 3, DECAY, TAU)
    weights = [torch.eye(4, dtype=torch.float64)]
    found = ClassStatistics(torch.ones(4).double(), weights[0], weights[0])
    assert max(distances(found, weights, expected).values()) < 1e-10


def ideal(expected: Frame, width: int, depth: int) -> tuple[ClassStatistics, list[Tensor]]:
    """Features equal to their class means, and balanced layers, as predicted."""
    classes = len(expected.strength)
    generator = torch.Generator().manual_seed(1)
    rotation = torch.linalg.qr(
        torch.randn(width, width, dtype=torch.float64, generator=generator)
    ).Q[:, :classes]
    values, vectors = torch.linalg.eigh(expected.classifier())
    values = torch.where(values > 1e-12, values, torch.zeros_like(values))
    root = vectors @ torch.diag(values ** (1 / (2 * depth))) @ vectors.T
    weights = [root @ rotation.T, *[root] * (depth - 1)]
    if expected.target == "etf":
        means = expected.classifier() @ rotation.T
    else:
        length = expected.strength.sqrt() / expected.scale
        means = torch.diag(length) @ rotation.T
    target = torch.arange(classes).repeat_interleave(torch.arange(2, 2 + classes))
    if expected.target == "etf":  # equal classes, for the mean of the means is taken off
        target = torch.arange(classes).repeat_interleave(3)
    return statistics(means[target], target, classes), weights


@pytest.mark.parametrize("target", ["identity", "etf", "gof"])
@pytest.mark.parametrize("depth", [1, 3])
def test_what_is_as_predicted_has_no_distance(target: Any, depth: int) -> None:
    expected = frame(target, COUNTS, depth, DECAY, TAU)
    found, weights = ideal(expected, 6, depth)
    assert max(distances(found, weights, expected).values()) < 1e-10
    assert within_over_between(found) < 1e-10
    assert len(layer_distances(found, weights, expected)) == 2 * (depth - 1)
    assert all(value < 1e-10 for value in layer_distances(found, weights, expected).values())
    if target == "gof":
        assert expected.length_error(product(weights)) < 1e-10
        assert expected.length_error(1.5 * product(weights)) == pytest.approx(0.5)
        other = frame("identity", COUNTS)
        assert distances(found, weights, other)["nc2_w"] > 0.1


def noisy() -> tuple[Tensor, Tensor, list[Tensor]]:
    generator = torch.Generator().manual_seed(2)
    features = torch.randn(40, 5, dtype=torch.float64, generator=generator)
    target = torch.randint(3, (40,), generator=generator)
    weights = [
        torch.randn(5, 5, dtype=torch.float64, generator=generator),
        torch.randn(3, 5, dtype=torch.float64, generator=generator),
    ]
    return features + target[:, None], target, weights


def test_measures_by_hand() -> None:
    features, target, weights = noisy()
    expected = frame("gof", torch.bincount(target).double(), 2, 0.01, 0.1)
    found = statistics(features, target, 3)
    means = torch.stack([features[target == k].mean(dim=0) for k in range(3)])
    within = sum(
        torch.outer(h - means[y], h - means[y]) for h, y in zip(features, target, strict=True)
    )
    centred = means - features.mean(dim=0)
    between = sum(torch.outer(m, m) for m in centred) / 3
    nc1 = torch.trace(within / 40 @ torch.linalg.pinv(between, rtol=1e-10)) / 3
    assert within_over_between(found) == pytest.approx(float(nc1), rel=1e-10)
    whole = weights[1] @ weights[0]
    strength = torch.diag(expected.strength)
    gram = whole @ whole.T
    by_hand = (gram / gram.norm() - strength / strength.norm()).norm()
    assert distances(found, weights, expected)["nc2_w"] == pytest.approx(float(by_hand))
    outputs = whole @ means.T
    wanted = torch.diag(expected.strength / (expected.strength + 0.1))
    by_hand = (outputs / outputs.norm() - wanted / wanted.norm()).norm()
    assert distances(found, weights, expected)["nc3"] == pytest.approx(float(by_hand))


def test_rotations_and_relabelling_change_nothing() -> None:
    features, target, weights = noisy()
    rotation = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64)).Q
    order = torch.tensor([2, 0, 1])
    turned = [weights[0] @ rotation.T, weights[1][order]]
    relabelled = torch.argsort(order)[target]
    for name in ("identity", "etf", "gof"):
        counts = torch.bincount(target).double()
        before = statistics(features, target, 3)
        after = statistics(features @ rotation.T, relabelled, 3)
        first = distances(before, weights, frame(name, counts, 2, 0.01, 0.1))
        second = distances(after, turned, frame(name, counts[order], 2, 0.01, 0.1))
        assert second == pytest.approx(first, abs=1e-10)
        assert within_over_between(after) == pytest.approx(within_over_between(before), rel=1e-9)


def test_classes_that_have_all_collapsed() -> None:
    """Nothing to normalise: no NaN, and nothing expected is at no distance from nothing."""
    expected = frame("gof", COUNTS, 2, 10.0, 10.0)
    assert expected.strength.sum() == 0
    zero = ClassStatistics(COUNTS, torch.zeros(4, 5).double(), torch.zeros(5, 5).double())
    weights = [torch.zeros(5, 5).double(), torch.zeros(4, 5).double()]
    assert max(distances(zero, weights, expected).values()) == 0.0
    assert expected.length_error(weights[1]) == 0.0
    assert expected.length_error(weights[1] + 2.0) == pytest.approx(2.0 * 5**0.5)
    assert within_over_between(zero) == 0.0


def test_length_error() -> None:
    expected = Frame("gof", torch.tensor([4.0, 1.0]).double(), 0.1)
    rows = torch.tensor([[2.0, 0.0], [0.0, 1.5]]).double()
    assert expected.length_error(rows) == pytest.approx(0.25)
