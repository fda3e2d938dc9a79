"""Scores of orders: lasso, logistic regression and networks against slow and other code."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import Lasso, LogisticRegression

import trainwright
from trainwright.data.sources import synthetic_sem
from trainwright_objectives.acyclicity import walks
from trainwright_strategies.dags.networks import Networks
from trainwright_strategies.dags.scores import (
    LeastSquares,
    Linear,
    Logistic,
    OrderScore,
    moments_of,
)
from trainwright_strategies.dags.search import SwapSearch, Trial, fitted, moved, ranked


def samples_of(relation: Any, d: int = 6, seed: int = 0, num_samples: int = 200) -> np.ndarray:
    table = synthetic_sem(num_samples, d, 3.0, relation, seed=seed)
    return np.asarray(table.tensors["features"].double())


def search_of(score: OrderScore, **options: Any) -> SwapSearch:
    pairs = score.num_nodes * (score.num_nodes - 1) // 2
    return SwapSearch(score, pairs, pairs, **options)


LASSO = LeastSquares(moments_of(samples_of("linear")), 0.2)
LOGISTIC = Logistic(samples_of("logistic"), 0.02)
DRAWN = samples_of("mlp", num_samples=80)
CENTRED = DRAWN - DRAWN.mean(0)
NETWORKS = Networks(CENTRED, hidden=4)


def test_the_lasso_is_that_of_other_code() -> None:
    samples = samples_of("linear") - samples_of("linear").mean(0)
    before = [0, 5, 2, 4]
    fit = LASSO.fit(3, before, None)
    other = Lasso(alpha=0.2, fit_intercept=False, tol=1e-14, max_iter=100_000)
    weights = other.fit(samples[:, before], samples[:, 3]).coef_
    np.testing.assert_allclose(fit.weights[before], weights, atol=1e-8)
    assert (fit.weights == 0).sum() >= 2
    rest = samples[:, 3] - samples[:, before] @ weights
    expected = 0.5 * np.mean(rest**2) + 0.2 * np.abs(weights).sum()
    assert fit.score == pytest.approx(expected, rel=1e-8)


def test_logistic_regression_is_that_of_other_code() -> None:
    samples, before = LOGISTIC.samples, [0, 5, 2, 4]
    fit = LOGISTIC.fit(3, before, None)
    other = LogisticRegression(
        l1_ratio=1.0,
        C=1 / (200 * 0.02),
        fit_intercept=False,
        solver="saga",
        tol=1e-10,
        max_iter=50_000,
    )
    weights = other.fit(samples[:, before], samples[:, 3]).coef_[0]
    np.testing.assert_allclose(fit.weights[before], weights, atol=1e-5)
    total = 0.0
    for row in samples:
        z = sum(row[i] * w for i, w in zip(before, weights, strict=True))
        total += np.log1p(np.exp(z)) - row[3] * z
    expected = total / 200 + 0.02 * np.abs(weights).sum()
    assert fit.score == pytest.approx(expected, rel=1e-8)


def test_separable_samples_have_finite_weights() -> None:
    samples = np.repeat([[0.0, 0.0], [1.0, 1.0]], 20, axis=0)
    fit = Logistic(samples, 1e-4).fit(1, [0], None)
    assert np.isfinite(fit.weights).all()
    assert fit.weights[0] > 5


@pytest.mark.parametrize("score", [LASSO, LOGISTIC], ids=["lasso", "logistic"])
def test_no_allowed_edge_has_a_slope(score: OrderScore) -> None:
    order = [2, 0, 5, 1, 4, 3]
    search = search_of(score, max_rounds=0)(order)
    slope = score.slope(search.fits)
    for a, b in itertools.combinations(range(6), 2):
        assert slope[order[a], order[b]] == pytest.approx(0, abs=1e-7)
        assert search.weights[order[b], order[a]] == 0
    assert np.abs(slope).max() > 0.01


EVERY = pytest.mark.parametrize(
    "score", [LASSO, LOGISTIC, NETWORKS], ids=["lasso", "logistic", "mlp"]
)


@EVERY
def test_moves_that_do_not_touch_add_up(score: OrderScore) -> None:
    order = list(range(6))
    start = search_of(score, max_rounds=0)(order)
    both = moved(moved(order, 0, 2), 3, 5)
    changes = []
    for changed in (moved(order, 0, 2), moved(order, 3, 5), both):
        after = fitted(score, changed, range(6), start.fits)
        changes.append(sum(fit.score for fit in after) - start.score)
    # A network that is fitted again from where it was may still find a little.
    accuracy = 1e-8 if isinstance(score, Linear) else 1e-3
    assert changes[0] + changes[1] == pytest.approx(changes[2], abs=accuracy * start.score)


@EVERY
@pytest.mark.parametrize("move", ["swap", "later", "earlier"])
def test_a_search_falls_and_is_what_its_fits_say(score: OrderScore, move: Any) -> None:
    ended = search_of(score, move=move, max_rounds=3)([5, 4, 3, 2, 1, 0])
    assert len(ended.scores) > 1
    assert all(after < before for before, after in itertools.pairwise(ended.scores))
    assert ended.score == sum(ended.fits[node].score for node in ended.order)
    place = {node: index for index, node in enumerate(ended.order)}
    assert all(place[i] < place[j] for i, j in np.argwhere(ended.weights))
    if isinstance(score, Linear):
        assert ended.score == pytest.approx(search_of(score).score_of(ended.order), rel=1e-7)


def test_a_network_by_hand() -> None:
    """The same loss written with torch, the norms, and what a linear edge would add."""
    score = Networks(CENTRED, hidden=5, l1_weight=0.03, l2_weight=0.2, max_iterations=3)
    fit = score.fit(3, [0, 2], None)
    inner = torch.from_numpy(fit.weights[[0, 2]])
    outer = torch.from_numpy(fit.weights[-1])
    assert (fit.weights[[1, 3, 4, 5]] == 0).all()
    x, y = torch.from_numpy(CENTRED[:, [0, 2]]), torch.from_numpy(CENTRED[:, 3])
    loss = 0.5 * (torch.sigmoid(x @ inner) @ outer - y).square().mean()
    penalty = 0.03 * inner.abs().sum() + 0.1 * (inner.square().sum() + outer.square().sum())
    assert fit.score == pytest.approx(float(loss + penalty), rel=1e-10)
    expected = np.zeros((6, 6))
    expected[[0, 2], 3] = inner.norm(dim=1)
    other = score.fit(0, [], None)
    fits = [other, other, other, fit, other, other]
    np.testing.assert_allclose(score.adjacency(fits)[:, 3], expected[:, 3])
    rest = y - torch.sigmoid(x @ inner) @ outer
    covariance = torch.from_numpy(CENTRED).T @ rest / len(rest)
    np.testing.assert_allclose(score.slope(fits)[:, 3], -covariance)


def test_the_gradient_of_a_network_is_its_difference_quotient() -> None:
    flat = np.random.default_rng(0).random(2 * 2 * 4 + 4)
    x, y = CENTRED[:, :2], CENTRED[:, 3]
    gradient = NETWORKS._value(x, y, flat)[1]
    for index in range(len(flat)):
        eps = np.zeros(len(flat))
        eps[index] = 1e-6
        quotient = NETWORKS._value(x, y, flat + eps)[0] - NETWORKS._value(x, y, flat - eps)[0]
        assert gradient[index] == pytest.approx(quotient / 2e-6, rel=1e-5, abs=1e-7)


def test_lbfgs_ends_at_a_stationary_point_and_adam_near_it() -> None:
    before, options = [0, 2], {"hidden": 2, "l1_weight": 0.1}
    lbfgs = Networks(CENTRED, **options)
    found = lbfgs.fit(3, before, None)
    again = lbfgs.fit(3, before, found.weights)
    assert again.score == pytest.approx(found.score, rel=1e-4)
    adam = Networks(CENTRED, **options, optimizer="adam", max_iterations=100)
    assert adam.fit(3, before, found.weights).score == pytest.approx(found.score, rel=0.02)
    start = Networks(CENTRED, **options, optimizer="adam", max_iterations=0)
    assert adam.fit(3, before, None).score < start.fit(3, before, None).score


def test_a_warm_start_keeps_what_is_read_and_draws_the_rest() -> None:
    """Optimizers that do nothing show where they begin."""
    still = Networks(CENTRED, hidden=5, optimizer="adam", max_iterations=0)
    first = still.fit(3, [0, 1], None)
    warm = 2 * first.weights
    again = still.fit(3, [1, 4], warm)
    np.testing.assert_array_equal(again.weights[[1, -1]], warm[[1, -1]])
    assert (again.weights[0] == 0).all()
    np.testing.assert_array_equal(again.weights[4], still.fit(3, [4], None).weights[4])
    assert len(set(np.round(again.weights[4], 12))) == 5


BACKWARDS = [5, 4, 3, 2, 1, 0]


def test_networks_take_the_first_pair_that_helps_and_train_what_is_between() -> None:
    before = search_of(NETWORKS, max_rounds=0)(BACKWARDS)
    after = search_of(NETWORKS, max_rounds=1)(BACKWARDS)
    a, *_, b = (place for place in range(6) if after.order[place] != BACKWARDS[place])
    assert after.order == moved(BACKWARDS, a, b)
    for place, node in enumerate(after.order):
        same = np.array_equal(after.fits[node].weights, before.fits[node].weights)
        assert same == (not a <= place <= b)
    # The pairs that are ranked before it do not help.
    between = walks(torch.from_numpy(before.weights)).numpy()
    pairs = ranked(BACKWARDS, between, NETWORKS.slope(before.fits))
    assert after.evaluations == 2 + pairs.index((a, b))
    changes = Trial(NETWORKS, BACKWARDS, before.fits, "swap")(pairs[: after.evaluations - 1])
    helps = [change < -1e-4 * before.score for change in changes]
    assert helps == [False] * (len(helps) - 1) + [True]


def test_networks_tried_side_by_side_give_the_same_search() -> None:
    one, four = (search_of(NETWORKS, pieces=pieces, max_rounds=3)(BACKWARDS) for pieces in (1, 4))
    assert (one.order, one.scores, one.evaluations) == (four.order, four.scores, four.evaluations)


@pytest.mark.parametrize(
    ("score", "edges"),
    [("logistic", 9.0), ("mlp", 2.0)],
)
def test_graphs_of_other_models_are_found(score: str, edges: float, tmp_path: Any) -> None:
    source = {
        "name": "synthetic_sem",
        "num_nodes": 4,
        "edges_per_node": edges,
        "relation": score,
    }
    result = trainwright.run(
        {
            "kind": "procedure",
            "name": "topo",
            "data": {"source": source},
            "procedure": {"name": "topo_swaps", "score": score, "hidden": 8},
            "storage": str(tmp_path / "runs"),
            "cluster": {"workers": 0},
            "tracking": {"enabled": False},
        }
    )
    found = result.metrics
    assert found["score"] <= found["score_of_truth"] * 1.02
    assert found["score"] < found["score_at_start"]
    assert found["edges"] > 0
    assert ("kkt_violations" in found) == (score == "logistic")
