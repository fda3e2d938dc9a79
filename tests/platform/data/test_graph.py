"""The bundled graphs, against networkx and closed forms."""

from __future__ import annotations

import networkx
import numpy as np
import pytest
import torch

from trainwright.data.sources import graph_links, graph_nodes
from trainwright.data.sources.graph import propagation

SIZES = {
    "karate_club": (34, 78),
    "davis_southern_women": (32, 89),
    "florentine_families": (15, 20),
    "les_miserables": (77, 254),
}


@pytest.mark.parametrize("name", SIZES)
def test_rows_are_those_of_the_adjacency_matrix(name: str) -> None:
    table = graph_nodes(name)
    nodes, edges = SIZES[name]
    rows = table.tensors["features"]
    assert rows.shape == (nodes, nodes)
    assert torch.equal(rows, rows.T)
    assert int((rows > 0).sum()) == 2 * edges
    graph = getattr(networkx, f"{name}_graph")()
    names = list(graph)
    for first, second, data in graph.edges(data=True):
        value = rows[names.index(first), names.index(second)]
        assert value == data.get("weight", 1)


def test_labels() -> None:
    karate = graph_nodes("karate_club")
    assert karate.columns["target"].labels == ("Mr. Hi", "Officer")
    assert karate.tensors["target"].bincount().tolist() == [17, 17]
    assert karate.tensors["target"][[0, 33]].tolist() == [0, 1]
    davis = graph_nodes("davis_southern_women")
    assert davis.columns["target"].labels == ("woman", "event")
    assert davis.tensors["target"].bincount().tolist() == [18, 14]
    for name in ("florentine_families", "les_miserables"):
        assert set(graph_nodes(name).columns) == {"features", "sample_id"}


def test_propagation_by_hand_and_its_fixed_vector() -> None:
    adjacency = np.array([[0.0, 2, 0], [2, 0, 1], [0, 1, 0]])
    degree = np.array([3.0, 4, 2])
    step = np.zeros((3, 3))
    for i in range(3):
        for j in range(3):
            weight = adjacency[i, j] + (i == j)
            step[i, j] = weight / np.sqrt(degree[i] * degree[j])
    np.testing.assert_allclose(propagation(adjacency, 1), step, atol=1e-14)
    np.testing.assert_allclose(propagation(adjacency, 3), step @ step @ step, atol=1e-14)
    np.testing.assert_allclose(propagation(adjacency, 5) @ np.sqrt(degree), np.sqrt(degree))


def test_two_hops_separate_the_clubs() -> None:
    """Ridge regression on the propagated rows, trained on the two leaders and six more."""
    table = graph_nodes("karate_club", hops=2)
    x, y = table.tensors["features"].double(), table.tensors["target"].double() * 2 - 1
    known = torch.tensor([0, 33, 1, 32, 5, 16, 23, 27])
    kernel = x[known] @ x[known].T + 1e-3 * torch.eye(8)
    answer = x @ x[known].T @ torch.linalg.solve(kernel, y[known])
    assert (answer.sign() == y).double().mean() > 0.9


@pytest.mark.parametrize("name", SIZES)
def test_links_are_all_edges_and_as_many_others(name: str) -> None:
    table = graph_links(name)
    nodes, edges = SIZES[name]
    first, second = table.tensors["node_1"][:, 0], table.tensors["node_2"][:, 0]
    target = table.tensors["target"][:, 0]
    assert table.columns["node_1"].num_classes == table.columns["node_2"].num_classes == nodes
    pairs = list(zip(first.tolist(), second.tolist(), strict=True))
    assert len(set(pairs)) == len(pairs)
    assert all(a < b for a, b in pairs)
    graph = getattr(networkx, f"{name}_graph")()
    names = list(graph)
    for (a, b), label in zip(pairs, target.tolist(), strict=True):
        assert graph.has_edge(names[a], names[b]) == (label == 1.0)
    assert int(target.sum()) == edges
    possible = 18 * 14 if "davis" in name else nodes * (nodes - 1) // 2
    assert len(pairs) == 2 * edges <= possible
    if "davis" in name:
        assert (first < 18).all()
        assert (second >= 18).all()


def test_the_seed_decides_the_pairs_without_an_edge() -> None:
    first, again, other = graph_links(), graph_links(), graph_links(seed=1)
    assert first.fingerprint() == again.fingerprint()
    assert first.fingerprint() != other.fingerprint()
    assert torch.equal(first.tensors["node_1"][:254], other.tensors["node_1"][:254])
