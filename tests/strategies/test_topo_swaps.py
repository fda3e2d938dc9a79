"""topo_swaps: worked numbers of a chain, additivity, exhaustive search, recovery, refusals."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import trainwright
from trainwright.procedure import Inputs, generator
from trainwright_strategies.dags.notears import notears
from trainwright_strategies.dags.orders import (
    SwapSearch,
    acyclicity,
    fit_order,
    kkt_violations,
    moved,
    pairs_of,
    score_gradient,
)
from trainwright_strategies.dags.sem import (
    hamming_distance,
    moments_of,
    random_sem,
    samples_of,
    topological_order,
)
from trainwright_strategies.topo_swaps import TopoSwaps

CHAIN = np.array([[1.0, 1.0, -2.0], [1.0, 2.0, -4.0], [-2.0, -4.0, 9.0]])
"""Covariance of 0 -> 1 (weight 1), 1 -> 2 (weight -2) with unit noise."""
SCORES = {
    (0, 1, 2): 1.5,
    (1, 0, 2): 1.75,
    (1, 2, 0): 1.75,
    (0, 2, 1): 3.1,
    (2, 1, 0): 4.861111,
    (2, 0, 1): 4.877778,
}


def random_moments(d: int, seed: int = 0, num_samples: int = 200) -> np.ndarray:
    random = torch.Generator().manual_seed(seed)
    weights = random_sem(d, min(1.0, 4 / (d - 1)), random)
    return moments_of(samples_of(weights, num_samples, random))


def full(moments: np.ndarray, **options: Any) -> SwapSearch:
    pairs = len(moments) * (len(moments) - 1) // 2
    return SwapSearch(moments, pairs, pairs, **options)


def test_gradient_of_acyclicity_counts_walks_backwards() -> None:
    weights = np.array([[0.0, 0.5, 0.0], [0.0, 0.0, 0.4], [0.0, 0.0, 0.0]])
    value, gradient = acyclicity(weights)
    assert value == 0
    np.testing.assert_allclose(gradient, [[1, 0, 0], [0.5, 1, 0], [0.2, 0.4, 1]], atol=1e-15)


@pytest.mark.parametrize("seed", range(3))
def test_gradient_of_acyclicity_is_its_difference_quotient(seed: int) -> None:
    size = np.random.default_rng(seed).random((5, 5))
    size *= 0.7 / np.max(np.abs(np.linalg.eigvals(size)))
    gradient, eps = acyclicity(size)[1], 1e-6
    for i, j in itertools.product(range(5), repeat=2):
        step = np.zeros((5, 5))
        step[i, j] = eps
        quotient = (acyclicity(size + step)[0] - acyclicity(size - step)[0]) / (2 * eps)
        assert gradient[i, j] == pytest.approx(quotient, rel=1e-6)


def test_walks_without_end_are_refused() -> None:
    with pytest.raises(ValueError, match="spectral radius"):
        acyclicity(np.array([[0.0, 2.0], [-0.5, 0.0]]))


@pytest.mark.parametrize("order", SCORES)
def test_scores_of_the_chain(order: tuple[int, ...]) -> None:
    assert fit_order(CHAIN, order)[1] == pytest.approx(SCORES[order], abs=1e-6)


def test_gradients_of_the_chain_backwards() -> None:
    weights = fit_order(CHAIN, (2, 1, 0))[0]
    assert weights[1, 0] == pytest.approx(0.5)
    assert weights[2, 1] == pytest.approx(-4 / 9)
    walks, slope = acyclicity(weights)[1], score_gradient(CHAIN, weights)
    assert [walks[0, 1], walks[0, 2], walks[1, 2]] == pytest.approx([0.5, 2 / 9, 4 / 9])
    assert [slope[0, 2], slope[1, 2], slope[0, 1]] == pytest.approx([2, 4, -1 / 9])
    assert [slope[2, 1], slope[2, 0], slope[1, 0]] == pytest.approx([0, 0, 0], abs=1e-12)
    # Places of the order (2, 1, 0): node 0 behind 2, then 1 behind 2, then 0 behind 1.
    assert pairs_of(CHAIN, weights, (2, 1, 0)) == [(0, 2), (0, 1), (1, 2)]
    assert pairs_of(CHAIN, weights, (2, 1, 0), 1.0) == [(0, 2), (0, 1)]


def test_the_chain_is_found_but_from_the_one_order_on_a_ledge() -> None:
    """From (1, 2, 0) one swap keeps the score and the others raise it: a minimum of swaps."""
    for order in SCORES:
        ended = full(CHAIN)(order)
        if order == (1, 2, 0):
            assert ended.order == [1, 2, 0]
            ended = full(CHAIN, move="earlier")(order)
        assert ended.score == pytest.approx(1.5, abs=1e-12)
        np.testing.assert_allclose(ended.weights, [[0, 1, 0], [0, 0, -2], [0, 0, 0]], atol=1e-12)


def test_moves_written_out() -> None:
    assert moved("abcde", 1, 3) == list("adcbe")
    assert moved("abcde", 1, 3, "later") == list("acdbe")
    assert moved("abcde", 1, 3, "earlier") == list("adbce")


@pytest.mark.parametrize("move", ["swap", "later", "earlier"])
def test_moves_that_do_not_touch_add_up(move: Any) -> None:
    moments, order = random_moments(8), list(range(8))
    start = fit_order(moments, order)[1]
    one, other = moved(order, 0, 3, move), moved(order, 4, 6, move)
    both = moved(one, 4, 6, move)
    changes = [fit_order(moments, o)[1] - start for o in (one, other, both)]
    assert changes[0] + changes[1] == pytest.approx(changes[2], abs=1e-10)


@pytest.mark.parametrize("move", ["swap", "later", "earlier"])
def test_a_search_falls_in_every_round_and_ends_where_no_pair_helps(move: Any) -> None:
    moments = random_moments(9, seed=3)
    ended = full(moments, move=move)(range(9))
    assert all(after < before for before, after in itertools.pairwise(ended.scores))
    assert len(ended.scores) > 2
    # What was fitted again within moves equals a fit of everything.
    assert ended.score == pytest.approx(fit_order(moments, ended.order)[1], rel=1e-10)
    for a, b in itertools.combinations(range(9), 2):
        assert fit_order(moments, moved(ended.order, a, b, move))[1] >= ended.score * (1 - 1e-11)


def test_weights_of_an_order_are_regressions() -> None:
    random = torch.Generator().manual_seed(1)
    samples = samples_of(random_sem(6, 0.6, random), 50, random)
    centred, order = samples - samples.mean(0), [3, 0, 5, 1, 4, 2]
    weights, score = fit_order(moments_of(samples), order)
    residuals = []
    for place, node in enumerate(order):
        before = order[:place]
        slopes = np.linalg.lstsq(centred[:, before], centred[:, node], rcond=None)[0]
        np.testing.assert_allclose(weights[before, node], slopes, rtol=1e-8)
        residuals.append(centred[:, node] - centred[:, before] @ slopes)
    assert score == pytest.approx(0.5 * np.square(residuals).sum() / 50, rel=1e-10)
    assert np.count_nonzero(weights) == 15


def test_fewer_samples_than_nodes_give_a_finite_fit() -> None:
    weights, score = fit_order(random_moments(8, num_samples=4), range(8))
    assert np.isfinite(weights).all()
    assert score >= -1e-9


def test_the_large_set_is_tried_only_where_the_small_one_does_not_help() -> None:
    moments = random_moments(10, seed=5)
    never = SwapSearch(moments, 2, 45, num_large=0)(range(10))
    once = SwapSearch(moments, 2, 45, num_large=1)(range(10))
    assert (never.num_large, once.num_large) == (0, 1)
    assert once.scores[: len(never.scores)] == never.scores
    assert once.score < never.score


def test_small_graphs_against_all_orders() -> None:
    """These six graphs end at the best of all 120 orders; that is seen, not certain."""
    for seed in range(6):
        moments = random_moments(5, seed=seed)
        best = min(fit_order(moments, order)[1] for order in itertools.permutations(range(5)))
        assert full(moments)(range(5)).score == pytest.approx(best, rel=1e-12)


def test_notears_finds_the_chain_and_its_order() -> None:
    weights = notears(CHAIN)
    np.testing.assert_allclose(weights, [[0, 1, 0], [0, 0, -2], [0, 0, 0]], atol=5e-3)
    assert topological_order(weights) == [0, 1, 2]


def test_kkt_violations_are_edges_that_would_help() -> None:
    empty = np.zeros((3, 3))
    assert kkt_violations(CHAIN, empty) == 6
    assert kkt_violations(CHAIN, fit_order(CHAIN, (0, 1, 2))[0]) == 0


def test_random_models_are_what_they_say() -> None:
    random = torch.Generator().manual_seed(0)
    weights = random_sem(30, 0.3, random)
    order = topological_order(weights)
    place = {node: index for index, node in enumerate(order)}
    assert all(place[i] < place[j] for i, j in np.argwhere(weights))
    size = np.abs(weights[weights != 0])
    assert 0.5 <= size.min() < 0.6
    assert 1.9 < size.max() <= 2.0
    assert len(size) == pytest.approx(0.3 * 435, abs=40)
    # Noise is what is left: X - X W.
    samples = samples_of(weights, 4000, random)
    noise = samples - samples @ weights
    np.testing.assert_allclose(np.cov(noise.T), np.eye(30), atol=0.15)


def test_hamming_distance_counts_a_reversal_once() -> None:
    first = np.array([[0, 1.0, 0], [0, 0, 1.0], [0, 0, 0]])
    assert hamming_distance(first, first) == 0
    assert hamming_distance(first, first.T) == 2
    assert hamming_distance(first, np.zeros((3, 3))) == 2


def job(folder: Path, **options: Any) -> dict[str, Any]:
    return {
        "kind": "procedure",
        "name": "topo",
        "procedure": {"name": "topo_swaps", **options},
        "storage": str(folder / "runs"),
        "tracking": {"enabled": False},
    }


SMALL = {"num_nodes": 10, "num_samples": 600, "size_small": 20, "size_large": 45}


def test_a_random_model_is_recovered(tmp_path: Path) -> None:
    result = trainwright.run(job(tmp_path, **SMALL))
    found = result.metrics
    assert found["hamming_distance"] == 0
    assert found["score"] <= found["score_of_truth"] * (1 + 1e-4)
    assert found["score"] < found["score_at_start"]
    assert found["kkt_violations"] == 0
    written = json.loads((Path(result.storage) / "artifacts" / "graph.json").read_text())
    assert sorted(written["order"]) == list(range(10))
    assert len(written["scores"]) == found["rounds"] + 1
    assert written["scores"][-1] == pytest.approx(found["score"], rel=1e-10)


def test_many_starts_give_the_best_of_them(tmp_path: Path) -> None:
    options = {**SMALL, "max_rounds": 0}
    many = trainwright.run(job(tmp_path, **options, num_starts=20)).metrics
    procedure = TopoSwaps(**options)
    inputs = Inputs(0, {}, None)
    moments = moments_of(procedure._samples(inputs)[0])
    orders = [torch.randperm(10, generator=generator(0, "order", n)).tolist() for n in range(20)]
    scores = [fit_order(moments, order)[1] for order in orders]
    assert many["score"] == pytest.approx(min(scores), rel=1e-10)
    assert many["evaluations"] == 20
    one = trainwright.run(job(tmp_path, **options)).metrics
    assert one["score"] == pytest.approx(scores[0], rel=1e-10)


def test_the_start_of_another_method_only_gets_better(tmp_path: Path) -> None:
    for start in ("variance", "notears"):
        before = trainwright.run(job(tmp_path, **SMALL, start=start, max_rounds=0)).metrics
        after = trainwright.run(job(tmp_path, **SMALL, start=start)).metrics
        assert after["score_at_start"] == pytest.approx(before["score"], rel=1e-12)
        assert after["score"] <= before["score"]


def with_wine(folder: Path, **options: Any) -> dict[str, Any]:
    return {**job(folder, **options), "data": {"source": "wine"}}


def test_samples_of_the_job(tmp_path: Path) -> None:
    result = trainwright.run(with_wine(tmp_path))
    assert "hamming_distance" not in result.metrics
    assert result.metrics["score"] < result.metrics["score_at_start"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"column": "feature"}, "no column 'feature'; it has features"),
        ({"column": "target"}, "must have two samples and two nodes"),
        (
            {"size_small": 79},
            "size_large <= 78, the number of pairs of 13 nodes, got",
        ),
        ({"size_small": 9, "size_large": 8}, "got 9 and 8"),
        ({"num_starts": 3, "start": "variance"}, "num_starts must be 1 with start variance, got 3"),
        ({"num_nodes": 1}, "num_nodes"),
        ({"max_rounds": -1}, "max_rounds"),
    ],
)
def test_what_is_refused(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(trainwright.InputError, match=message):
        trainwright.validate(with_wine(tmp_path, **options))


def test_values_that_are_no_numbers_are_refused() -> None:
    class Broken(Inputs):
        def table(self, split: str = "train") -> Any:
            return SimpleNamespace(tensors={"features": torch.tensor([[1.0, 2.0], [torch.nan, 0]])})

        has_data = True

    with pytest.raises(ValueError, match="features has values that are no finite numbers"):
        TopoSwaps().check(Broken(0, {}, None))
