"""Descent on separable data: the paper's table, its limit and bounds, by independent loops."""

from __future__ import annotations

import math
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from separable_descent import Logits, Points, descend, gaussian_points, plain, worst_case

from trainwright.strategy import Context
from trainwright_strategies.batch_perceptron import BatchPerceptron
from trainwright_strategies.normalized_lr_gd import NormalizedLrGd, normalizing_factor


def by_loop(points: Points, rate: float, limit: int, normalized: bool) -> int:
    """Sample by sample, in plain Python floats."""
    theta = [0.0] * points.shape[1]
    for t in range(limit):
        margin = [sum(a * b for a, b in zip(theta, z, strict=True)) for z in points.tolist()]
        if min(margin) > 0:
            return t
        p = [1 / (1 + math.exp(min(v, 700.0))) for v in margin]
        divisor = sum(p) if normalized else len(points)
        for j in range(len(theta)):
            theta[j] += rate * sum(w * z[j] for w, z in zip(p, points, strict=True)) / divisor
    return limit


@pytest.mark.parametrize(
    ("n", "gd", "perceptron", "normalized"),
    [
        (10, 4, 4, {100: 2, 10: 2, 1: 7, 0.1: 60}),
        (100, 31, 31, {100: 2, 10: 2, 1: 11, 0.1: 110}),
        (1000, 308, 301, {100: 2, 10: 2, 1: 16, 0.1: 157}),
    ],
)
def test_the_papers_table(n: int, gd: int, perceptron: int, normalized: dict[float, int]) -> None:
    points = worst_case(n)
    assert descend(plain(), points, 100.0, 400)[0] == gd
    assert descend(BatchPerceptron(), points, 1.0, 400)[0] == perceptron
    assert descend(BatchPerceptron(normalized=True), points, 1.0, 400)[0] == 2
    for rate, updates in normalized.items():
        assert descend(NormalizedLrGd(), points, rate, 200)[0] == updates


def test_two_points_by_hand() -> None:
    points = np.array([[1.0, -1.0], [1.0, 4.0]])
    losses, norms = [], []
    for theta in (path := descend(plain(), points, 10.0, 3)[1]):
        p = 1 / (1 + np.exp(points @ theta))
        losses.append(np.log1p(np.exp(-points @ theta)).mean())
        norms.append(np.linalg.norm(points.T @ p / 2))
    assert path[1] / 10 == pytest.approx([0.5, 0.75])
    assert path[2] / 10 == pytest.approx([0.962071, 0.287929], abs=1e-6)
    assert losses == pytest.approx([0.693147, 1.289445, 0.000590], abs=1e-6)
    assert norms == pytest.approx([0.901388, 0.653467, 0.000834], abs=1e-6)
    path = descend(plain(), points, 1000.0, 3)[1]
    assert path[2] / 1000 == pytest.approx([1.0, 0.25])
    assert -(points @ path[1]).min() / 2 == pytest.approx(125.0)
    p = 1 / (1 + np.exp(np.minimum(points @ path[1], 700.0)))
    assert np.linalg.norm(points.T @ p / 2) == pytest.approx(math.sqrt(2) / 2)


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize(("rate", "error"), [(1e2, 7.5e-2), (1e4, 1e-12), (1e6, 1e-12)])
def test_a_large_rate_is_the_perceptron(rate: float, error: float, normalized: bool) -> None:
    points = gaussian_points()
    method = NormalizedLrGd() if normalized else plain()
    found = descend(method, points, rate, 9)[1]
    limit = descend(BatchPerceptron(normalized), points, 1.0, 9)[1]
    shared = min(len(found), len(limit))
    assert shared >= 4
    apart = max(
        float(np.abs(a / rate - b).max())
        for a, b in zip(found[:shared], limit[:shared], strict=True)
    )
    assert apart < error * (3 if normalized else 1)


def separable_set(rng: np.random.Generator) -> tuple[Points, float]:
    """Points with a margin of at least 0.3 along a known vector of length 1."""
    w = rng.normal(size=5)
    w /= np.linalg.norm(w)
    points = rng.normal(size=(int(rng.integers(2, 40)), 5))
    points *= np.where(points @ w > 0, 1.0, -1.0)[:, None]
    margin = points @ w
    points += np.outer(np.maximum(0.3 - margin, 0), w)
    return points, float((points @ w).min())


@pytest.mark.parametrize("num_sets", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_no_bound_is_violated(num_sets: int) -> None:
    rng = np.random.default_rng(1)
    for _ in range(num_sets):
        points, mu = separable_set(rng)
        n, ratio = len(points), float((points**2).sum(axis=1).max()) / mu**2
        for rate in (0.1, 1.0, 100.0):
            bound = ratio + 2 * math.log(2 * n - 1) / (rate * mu**2)
            assert descend(NormalizedLrGd(), points, rate, int(bound) + 2)[0] <= bound
        assert descend(BatchPerceptron(True), points, 1.0, int(ratio) + 2)[0] <= ratio
        assert descend(BatchPerceptron(), points, 1.0, int(n * ratio) + 2)[0] <= n * ratio


def test_the_hooks_agree_with_a_slow_loop() -> None:
    rng = np.random.default_rng(2)
    for _ in range(5):
        points, _ = separable_set(rng)
        for rate in (0.5, 5.0):
            for normalized in (False, True):
                method = NormalizedLrGd() if normalized else plain()
                expected = by_loop(points, rate, 300, normalized)
                assert descend(method, points, rate, 300)[0] == expected


def test_beta() -> None:
    assert normalizing_factor(torch.sigmoid(torch.zeros(7))) == 2.0
    torch.manual_seed(0)
    errors = torch.sigmoid(-4 * torch.randn(1000, dtype=torch.float64))
    assert normalizing_factor(errors) == pytest.approx(1 / float(errors.mean()), rel=1e-12)
    assert normalizing_factor(torch.ones(3)) == 1.0
    # All margins beyond the reach of the exponential: still a float32 number.
    assert math.isfinite(torch.tensor(normalizing_factor(torch.zeros(3))).float())
    with pytest.raises(ValueError, match="not a number"):
        normalizing_factor(torch.tensor([0.5, math.nan]))


def test_beta_of_a_network_can_be_cut_off() -> None:
    errors = torch.tensor([0.01, 0.03])
    assert normalizing_factor(errors, 100.0) == pytest.approx(50.0)
    assert normalizing_factor(errors, 5.0) == 5.0
    method = NormalizedLrGd(init="model", stop="never", experimental=True, beta_max=1.5)
    method._context = Context(seed=0)
    step = SimpleNamespace(index=0, gradients={"w": torch.ones(2)})
    method._rows.put(torch.tensor([[0.01, 3.0], [0.03, 2.0]]))
    method.gradients(step)
    assert step.gradients["w"].tolist() == [1.5, 1.5]
    assert method._context.take_logged()["normalized_lr_gd/beta"] == 1.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta_max": 2.0}, "beta_max is for experimental alone"),
        ({"beta_max": 0.5, "experimental": True, "init": "model"}, "a number of at least 1"),
        ({"beta_max": math.inf, "experimental": True, "init": "model"}, "a number of at least 1"),
    ],
)
def test_wrong_limits_of_beta(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NormalizedLrGd(**options)


def test_a_step_is_at_most_rate_times_radius() -> None:
    points = gaussian_points()
    radius = np.linalg.norm(points, axis=1).max()
    path = descend(NormalizedLrGd(), points, 3.0, 30)[1]
    lengths = [np.linalg.norm(b - a) for a, b in pairwise(path)]
    assert len(lengths) >= 3
    assert max(lengths) <= 3.0 * radius


class _Both:
    """What one worker gathers: the rows of all workers."""

    def __init__(self, workers: list[NormalizedLrGd]) -> None:
        self.workers = workers

    def gather(self, own: torch.Tensor) -> torch.Tensor:
        return torch.cat([rows for worker in self.workers for rows in worker._rows._own])

    def log(self, values: Any) -> None:
        pass


def test_two_workers_with_unequal_shares_take_the_step_of_one() -> None:
    points = gaussian_points()
    workers = [NormalizedLrGd(), NormalizedLrGd()]
    for worker in workers:
        worker._context = _Both(workers)  # type: ignore[assignment]
    model = Logits(points)
    for expected in descend(NormalizedLrGd(), points, 3.0, 9)[1]:
        assert np.abs(model.theta.detach().numpy() - expected).max() < 1e-12
        step = SimpleNamespace(index=0, gradients=None)
        total = torch.zeros_like(model.theta)
        for worker, share in zip(workers, (slice(0, 7), slice(7, 30)), strict=True):
            batch = {"x": model.x[share], "target": torch.ones(len(model.x[share]))}
            worker.step(step, lambda: None)
            mean = worker.loss(batch, model).value
            total += torch.autograd.grad(mean, model.theta)[0] * len(batch["x"]) / len(points)
        found = []
        for worker in workers:
            step.gradients = {"theta": total}
            worker.gradients(step)
            found.append(step.gradients["theta"])
        assert found[0].equal(found[1])
        with torch.no_grad():
            model.theta -= 3.0 * found[0]


def test_duplicates_change_nothing_and_a_copied_class_the_plain_method_most() -> None:
    points = gaussian_points()
    for method in (plain, NormalizedLrGd, BatchPerceptron):
        once, twice = (descend(method(), np.tile(points, (k, 1)), 2.0, 8)[1] for k in (1, 2))
        assert np.allclose(once, twice, atol=1e-12)
    few, many = worst_case(10), np.concatenate([worst_case(10), worst_case(10)[1:].repeat(9, 0)])
    assert descend(plain(), many, 100.0, 400)[0] > 5 * descend(plain(), few, 100.0, 400)[0]
    assert descend(NormalizedLrGd(), many, 100.0, 400)[0] == 2


def test_it_stands_still_and_asks_to_stop_once_all_is_separated() -> None:
    points = worst_case(10)
    method = NormalizedLrGd()
    updates, _ = descend(method, points, 100.0, 50)
    assert updates == 2
    assert method.evaluated({})
    going_on = NormalizedLrGd(stop="never")
    descend(going_on, points, 100.0, 50)
    assert not going_on.evaluated({})
    for strategy, stands_still in ((method, True), (going_on, False)):
        assert (last_gradient(strategy) == 0).all() == stands_still


def last_gradient(strategy: NormalizedLrGd) -> torch.Tensor:
    """What the strategy makes of a gradient of ones where all samples are on their side."""
    points = worst_case(10)
    model, step = Logits(points), SimpleNamespace(gradients={"theta": torch.ones(2)})
    with torch.no_grad():
        model.theta += torch.tensor([1.0, 0.0])  # ahead of every sample of the worst case
    strategy.step(step, lambda: None)
    strategy.loss({"x": model.x, "target": torch.ones(len(points))}, model)
    strategy.gradients(step)
    return step.gradients["theta"]


def test_no_line_separates_copies_with_both_labels() -> None:
    points = np.array([[1.0, 2.0], [-1.0, -2.0], [0.5, 1.0]])
    for strategy in (NormalizedLrGd(), BatchPerceptron(), BatchPerceptron(True)):
        updates, path = descend(strategy, points, 10.0, 40)
        assert updates == 40
        assert np.isfinite(path[-1]).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("digits", "most", "gd", "normalized"),
    [
        ((4, 9), 1000, (2642, 264, 27, 16), (89, 9, 8, 6)),
        ((3, 8), 1000, (2869, 287, 28, 14), (181, 19, 23, 25)),
        ((4, 9), 10, (1987, 199, 19, 4), (82, 9, 6, 12)),
    ],
)
def test_digits(
    digits: tuple[int, int], most: int, gd: tuple[int, ...], normalized: tuple[int, ...]
) -> None:
    """Against counts by a float64 loop in numpy; ``most`` of the second digit are taken."""
    from sklearn.datasets import load_digits

    data = load_digits()
    x, y = data.data / 16, data.target
    kept = np.isin(y, digits)
    kept &= (y != digits[1]) | (np.cumsum(y == digits[1]) <= most)
    x, sign = x[kept] - x[kept].mean(axis=0), np.where(y[kept] == digits[1], 1.0, -1.0)
    points = np.hstack([x, np.ones((len(x), 1))]) * sign[:, None]
    for rate, expected, faster in zip((0.1, 1.0, 10.0, 100.0), gd, normalized, strict=True):
        assert descend(plain(), points, rate, 3000)[0] == expected
        assert descend(NormalizedLrGd(), points, rate, 3000)[0] == faster
