"""dag_kkt_probe: the numbers of a chain, batches and workers, refusals, a training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

import trainwright
from trainwright.models import LinearSem
from trainwright_strategies.dag_kkt_probe import DagKktProbe

# Rows whose moments are exactly those of 0 -> 1 (weight 1), 1 -> 2 (weight -2) with unit noise.
NOISE = 2 * torch.tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=torch.float64)
CHAIN = torch.tensor([[0, 1, 0], [0, 0, -2], [0, 0, 0]], dtype=torch.float64)
SAMPLES = 0.5 * NOISE @ torch.linalg.inv(torch.eye(3, dtype=torch.float64) - CHAIN)
BACKWARDS = torch.tensor([[0, 0, 0], [0.5, 0, 0], [0, -4 / 9, 0]], dtype=torch.float64)


class OneWorker:
    """An evaluation in batches, the last one of which is not to be counted."""

    def __init__(self, weights: Tensor, sizes: tuple[int, ...] = (4,), **columns: Tensor) -> None:
        self.weights = weights
        self.sizes = sizes
        self.columns = columns

    def passes(self, split: str) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor], bool]]:
        parts = [(rows, True) for rows in SAMPLES.split(list(self.sizes))]
        for rows, counts in [*parts, (100 + SAMPLES, False)]:
            size = len(rows)
            columns = {name: column.expand(size, 3, 3) for name, column in self.columns.items()}
            yield (
                {"features": rows, **columns},
                {"weights": self.weights.expand(size, 3, 3)},
                counts,
            )

    def sum(self, value: Tensor) -> Tensor:
        return value


def measured(weights: Tensor, **options: Any) -> dict[str, float]:
    exact = {"least_weight": 0.0, "least_walks": 1e-9, "acyclicity": "logdet"}
    probe = DagKktProbe(**{**exact, **options})
    return dict(probe.evaluate(OneWorker(weights)))  # type: ignore[arg-type]


def test_the_moments_are_those_of_the_chain() -> None:
    expected = torch.tensor([[1, 1, -2], [1, 2, -4], [-2, -4, 9]], dtype=torch.float64)
    torch.testing.assert_close(SAMPLES.T @ SAMPLES / 4, expected)


def test_the_chain_itself_has_nothing_left_to_gain() -> None:
    found = measured(CHAIN)
    assert found["h"] == pytest.approx(0, abs=1e-12)
    # Walks 1 <- 0, 2 <- 1 and 2 <- 1 <- 0: 1, 2 and 2.
    assert found["h_gradient"] == pytest.approx(3.0)
    assert found["kkt_violations"] == 0
    assert found["free_pairs"] == 3
    assert found["num_edges"] == 2


def test_backwards_two_edges_would_still_help() -> None:
    """Edges 0 -> 2 and 1 -> 2, with slopes 2 and 4, close cycles; 2 -> 0 does not, but is level."""
    found = measured(BACKWARDS)
    assert found["kkt_violations"] == 0
    # Without the weak edge 2 -> 1 node 2 is free: 1 -> 2 and 0 -> 2, and 2 -> 1 itself.
    assert measured(BACKWARDS, least_weight=0.45)["kkt_violations"] == 3
    assert measured(torch.zeros(3, 3).double())["kkt_violations"] == 6
    assert measured(torch.zeros(3, 3).double())["free_pairs"] == 6
    # An L1 term holds what is not steeper than itself: slopes 1, 2, 4, each twice.
    zero = torch.zeros(3, 3).double()
    assert measured(zero, l1_weight=1.5)["kkt_violations"] == 4
    assert measured(zero, l1_weight=3.0)["kkt_violations"] == 2
    assert measured(zero, least_slope=4.5)["kkt_violations"] == 0


def test_cycles_count_with_exp() -> None:
    both = CHAIN + BACKWARDS
    assert measured(both, acyclicity="exp")["h"] > 0.5
    with pytest.raises(ValueError, match="spectral radius"):
        measured(both)


def test_batches_do_not_matter_and_the_truth_is_told() -> None:
    probe = DagKktProbe(threshold=0.45)
    edges = CHAIN != 0
    whole = probe.evaluate(OneWorker(BACKWARDS, edges=edges))  # type: ignore[arg-type]
    parts = probe.evaluate(OneWorker(BACKWARDS, (1, 3), edges=edges))  # type: ignore[arg-type]
    assert whole == parts
    # 1 -> 0 is turned round, 1 -> 2 is missing.
    assert whole["hamming_distance"] == 2
    assert whole["num_edges"] == 1
    assert "hamming_distance" not in DagKktProbe(edges="other").evaluate(
        OneWorker(CHAIN, edges=edges)  # type: ignore[arg-type]
    )


def test_logistic_slopes() -> None:
    """At zero each node is said to be 1 half of the time."""
    x = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    evaluation = SimpleNamespace(
        passes=lambda split: iter([({"features": x}, {"weights": torch.zeros(4, 2, 2)}, True)]),
        sum=lambda value: value,
    )
    probe = DagKktProbe(score="logistic", least_slope=0.01)
    # (0.5 * 3 - 1) / 4 and (0.5 * 2 - 1) / 4: only the edge 0 -> 1 has a slope.
    assert probe.evaluate(evaluation)["kkt_violations"] == 1  # type: ignore[arg-type]


def test_a_model_or_data_without_what_is_measured_is_refused() -> None:
    evaluation: Any = OneWorker(CHAIN)
    with pytest.raises(ValueError, match="no output 'graph'; it gives weights"):
        DagKktProbe(output="graph").evaluate(evaluation)
    with pytest.raises(ValueError, match="no column 'nodes'; it has features"):
        DagKktProbe(column="nodes").evaluate(evaluation)


@pytest.mark.parametrize(
    "name", ["l1_weight", "threshold", "least_weight", "least_walks", "least_slope"]
)
def test_negative_options_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a number of at least 0, got -1"):
        DagKktProbe(**{name: -1.0})


@pytest.mark.slow
def test_a_training_finds_a_small_graph(tmp_path: Path) -> None:
    """Four nodes, trained in the ordinary way: hardly a cycle or a wrong edge."""
    result = trainwright.run(
        {
            "name": "sem",
            "data": {
                "source": {"name": "synthetic_sem", "num_nodes": 4, "edges_per_node": 2.0},
                "batch_size": 800,
                "validation": 0.2,
            },
            "model": "linear_sem",
            "objective": {"name": "dag_sem_loss", "l1_weight": 0.02},
            "strategies": ["dag_kkt_probe"],
            "optimizer": {"name": "adam", "lr": 0.1},
            "schedule": "linear",
            "training": {"steps": 120, "evaluate_every": "120 steps"},
            "cluster": {"workers": 0},
            "tracking": {"enabled": False},
            "storage": str(tmp_path / "runs"),
        }
    )
    assert result.metrics["validation/hamming_distance"] <= 1
    assert result.metrics["validation/h"] < 0.05


def test_the_model_gives_what_the_probe_reads() -> None:
    with torch.no_grad():
        outputs = LinearSem(3)(torch.randn(2, 3))
    evaluation = SimpleNamespace(
        passes=lambda split: iter([({"features": torch.ones(2, 3)}, outputs, True)]),
        sum=lambda value: value,
    )
    assert DagKktProbe().evaluate(evaluation)["num_edges"] == 0  # type: ignore[arg-type]
