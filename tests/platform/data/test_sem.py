"""synthetic_sem: the graph has no cycles, and the samples follow it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from trainwright.data.sources import synthetic_sem


def ancestors_first(edges: torch.Tensor) -> list[int]:
    """An order in which all edges point forward; fails if there is a cycle."""
    left, order = set(range(len(edges))), []
    while left:
        first = [j for j in left if not any(edges[i, j] for i in left)]
        assert first, "a cycle"
        order += first
        left -= set(first)
    return order


def test_columns_and_graph() -> None:
    table = synthetic_sem(50, 30, 9.0)
    edges = table.tensors["edges"]
    assert table.columns["features"].kind == "vector"
    assert table.tensors["features"].shape == (50, 30)
    assert edges.shape == (50, 30, 30)
    assert edges.eq(edges[0]).all()
    order = ancestors_first(edges[0])
    assert order != list(range(30))
    assert edges[0].sum().item() == pytest.approx(9.0 * 30 / 2, abs=30)
    other = synthetic_sem(50, 30, 9.0, seed=1)
    assert not other.tensors["edges"].equal(edges)
    longer = synthetic_sem(60, 30, 9.0)
    assert longer.tensors["features"][:50].equal(table.tensors["features"])


def test_linear_samples_leave_noise_behind() -> None:
    table = synthetic_sem(4000, 8, noise=0.5)
    x, edges = table.tensors["features"].double(), table.tensors["edges"][0]
    for node in range(8):
        parents = x[:, edges[:, node]]
        weights = torch.linalg.lstsq(parents, x[:, node]).solution
        rest = x[:, node] - parents @ weights
        assert rest.std().item() == pytest.approx(0.5, abs=0.03)
        assert ((weights.abs() > 0.4) & (weights.abs() < 2.1)).all()


def test_all_nodes_can_have_edges() -> None:
    edges = synthetic_sem(1, 6, edges_per_node=99.0).tensors["edges"][0]
    assert edges.sum() == 15
    assert (edges ^ edges.T).sum() == 30


def test_logistic_samples_are_zero_or_one() -> None:
    table = synthetic_sem(4000, 2, 9.0, "logistic")
    x, edges = table.tensors["features"], table.tensors["edges"][0]
    assert set(x.unique().tolist()) == {0.0, 1.0}
    ((first, second),) = edges.nonzero().tolist()
    assert x[:, first].mean().item() == pytest.approx(0.5, abs=0.04)
    # Without its parent a node is 1 half of the time, with it more or less often.
    off, on = (x[x[:, first] == value, second].mean().item() for value in (0.0, 1.0))
    assert off == pytest.approx(0.5, abs=0.04)
    assert abs(on - off) > 0.1


def test_networks_are_no_linear_functions_and_noise_is_added() -> None:
    options: dict[str, Any] = {"num_nodes": 2, "edges_per_node": 9.0, "relation": "mlp"}
    table = synthetic_sem(4000, noise=0.1, **options)
    x, edges = table.tensors["features"].double(), table.tensors["edges"][0]
    ((first, second),) = edges.nonzero().tolist()
    line = torch.stack([x[:, first], torch.ones(4000)], dim=1)
    rest = x[:, second] - line @ torch.linalg.lstsq(line, x[:, second]).solution
    assert x[:, first].std().item() == pytest.approx(0.1, abs=0.01)
    # A smooth function: among neighbours in the first node only noise is left.
    order = x[:, first].argsort()
    steps = x[order, second].diff()
    assert steps.std().item() / 2**0.5 == pytest.approx(0.1, abs=0.01)
    assert rest.std() >= 0.099
