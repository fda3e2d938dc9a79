"""topo_swaps: a graph is recovered, where searches start, what is recorded and refused."""

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
from trainwright.data.sources import synthetic_sem
from trainwright.procedure import Inputs
from trainwright_strategies.dags.scores import LeastSquares, moments_of
from trainwright_strategies.dags.search import SwapSearch
from trainwright_strategies.dags.starts import RandomStarts
from trainwright_strategies.topo_swaps import TopoSwaps


def search_of(d: int = 10) -> SwapSearch:
    """Over all pairs, of the samples of :func:`job`."""
    samples = synthetic_sem(600, d).tensors["features"].double().numpy()
    pairs = d * (d - 1) // 2
    return SwapSearch(LeastSquares(moments_of(samples)), pairs, pairs, pieces=2)


def job(folder: Path, **options: Any) -> dict[str, Any]:
    """Of ten nodes, with the graph that is to be found."""
    source = {"name": "synthetic_sem", "num_samples": 600, "num_nodes": 10}
    return {
        "kind": "procedure",
        "name": "topo",
        "data": {"source": source},
        "procedure": {"name": "topo_swaps", "size_small": 20, "size_large": 45, **options},
        "storage": str(folder / "runs"),
        "cluster": {"workers": 0},
        "tracking": {"enabled": False},
    }


def three_nodes(folder: Path, **options: Any) -> dict[str, Any]:
    source = {"name": "synthetic_sem", "num_samples": 600, "num_nodes": 3}
    return {**job(folder, **options), "data": {"source": source}}


def found_by(folder: Path, **options: Any) -> dict[str, float]:
    return dict(trainwright.run(job(folder, **options)).metrics)


def test_a_random_model_is_recovered(tmp_path: Path) -> None:
    result = trainwright.run(job(tmp_path))
    found = result.metrics
    assert found["hamming_distance"] == 0
    assert found["score"] <= found["score_of_truth"] * (1 + 1e-4)
    assert found["score"] < found["score_at_start"]
    assert found["kkt_violations"] == 0
    written = json.loads((Path(result.storage) / "artifacts" / "graph.json").read_text())
    assert sorted(written["order"]) == list(range(10))
    assert len(written["scores"]) == found["rounds"] + 1
    assert written["scores"][-1] == found["score"]


def test_many_starts_give_the_best_of_them(tmp_path: Path) -> None:
    many = found_by(tmp_path, max_rounds=0, num_starts=20)
    random = RandomStarts(0, search_of())
    scores = [random.search.score_of(random.order(number)) for number in range(20)]
    assert many["score"] == pytest.approx(min(scores), rel=1e-10)
    assert many["evaluations"] == 20
    one = found_by(tmp_path, max_rounds=0)
    assert one["score"] == pytest.approx(scores[0], rel=1e-10)
    assert min(scores) < scores[0]


@pytest.mark.parametrize("start", ["variance", "notears"])
def test_the_start_of_another_method_only_gets_better(start: str, tmp_path: Path) -> None:
    """Three nodes, which NOTEARS has soon."""
    small = {"size_small": 1, "size_large": 3, "start": start}
    before, after = (
        dict(trainwright.run(three_nodes(tmp_path, **small, **limit)).metrics)
        for limit in ({"max_rounds": 0}, {})
    )
    assert after["score_at_start"] == pytest.approx(before["score"], rel=1e-12)
    assert after["score"] <= before["score"]


def test_starts_that_are_given(tmp_path: Path) -> None:
    order = [3, 1, 4, 0, 5, 9, 2, 6, 8, 7]
    expected = search_of().score_of(order)
    given = found_by(tmp_path, start="order", order=order, max_rounds=0)
    assert given["score"] == pytest.approx(expected, rel=1e-10)
    weights = np.zeros((10, 10))
    for before, after in itertools.pairwise(order):
        weights[before, after] = 1.0
    weights[7, 3] = 0.1  # a weak edge that closes a cycle
    np.save(tmp_path / "w.npy", weights)
    read = found_by(tmp_path, start="file", file=str(tmp_path / "w.npy"), max_rounds=0)
    assert read["score"] == pytest.approx(expected, rel=1e-10)


def test_the_weights_of_a_training_are_a_start(tmp_path: Path) -> None:
    """Trained for a few updates: most edges point the right way, and swaps do the rest."""
    learner = {
        "data": {**job(tmp_path)["data"], "batch_size": 600},
        "model": "linear_sem",
        "objective": "dag_sem_loss",
        "optimizer": {"name": "adam", "lr": 0.05},
        "training": {"steps": 40},
    }
    runs = {"runs": {"learner": learner}}
    before = trainwright.run({**job(tmp_path, start="run", max_rounds=0), **runs}).metrics
    after = trainwright.run({**job(tmp_path, start="run"), **runs}).metrics
    assert before["score"] < found_by(tmp_path, max_rounds=0)["score"]
    assert after["score_at_start"] == pytest.approx(before["score"], rel=1e-12)
    assert after["score"] < before["score"]


def test_a_search_that_is_continued_ends_the_same(tmp_path: Path) -> None:
    """Recorded rounds come back as tensors and lists; the search goes on from them."""

    class Recorded:
        def __init__(self) -> None:
            self.names: list[str] = []

        def step(self, name: str, function: Any, *args: Any) -> Any:
            self.names.append(name)
            return [[torch.from_numpy(weights), score] for weights, score in function(*args)]

        def map(self, function: Any, items: Any, name: str) -> list[Any]:
            self.names.append(name)
            return [function(item) for item in items]

    search = search_of(8)
    work = Recorded()
    ended = search(range(8), work)
    assert ended.scores == search(range(8)).scores
    assert len(set(work.names)) == len(work.names)


def with_wine(folder: Path, **options: Any) -> dict[str, Any]:
    values = {**job(folder), "data": {"source": "wine"}}
    return {**values, "procedure": {"name": "topo_swaps", **options}}


def test_samples_without_a_known_graph(tmp_path: Path) -> None:
    result = trainwright.run(with_wine(tmp_path))
    assert "hamming_distance" not in result.metrics
    assert result.metrics["score"] < result.metrics["score_at_start"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"column": "feature"}, "no column 'feature'; it has features"),
        ({"column": "target"}, "must have two samples and two nodes"),
        ({"size_small": 79}, "size_large <= 78, the number of pairs of 13 nodes, got"),
        ({"size_small": 9, "size_large": 8}, "got 9 and 8"),
        ({"num_starts": 3, "start": "variance"}, "num_starts must be 1 with start variance, got 3"),
        ({"max_rounds": -1}, "max_rounds"),
        ({"start": "order"}, "order and start: order must be given together, got None"),
        ({"order": [0, 1]}, "order and start: order must be given together"),
        ({"start": "order", "order": [0] * 13}, "each of the nodes 0 to 12 once, got"),
        ({"start": "file"}, "file and start: file must be given together"),
        ({"start": "run"}, "the procedure needs a run named 'learner'"),
        ({"score": "logistic", "l1_weight": 0}, "l1_weight must be above 0 for logistic, got 0"),
        ({"score": "logistic"}, "features must be 0 or 1 throughout for logistic"),
    ],
)
def test_what_is_refused(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(trainwright.InputError, match=message):
        trainwright.validate(with_wine(tmp_path, **options))


def test_without_samples_it_is_refused(tmp_path: Path) -> None:
    values = {name: value for name, value in job(tmp_path).items() if name != "data"}
    with pytest.raises(trainwright.InputError, match="the procedure needs samples"):
        trainwright.validate(values)


@pytest.mark.parametrize("weights", [np.zeros((2, 3)), np.full((2, 2), np.nan)])
def test_files_of_something_else_are_refused(weights: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "w.npy", weights)
    file = str(tmp_path / "w.npy")
    with pytest.raises(trainwright.InputError, match="must hold numbers of shape"):
        trainwright.validate(with_wine(tmp_path, start="file", file=file))


def test_values_that_are_no_numbers_are_refused() -> None:
    class Broken(Inputs):
        def table(self, split: str = "train") -> Any:
            return SimpleNamespace(tensors={"features": torch.tensor([[1.0, 2.0], [torch.nan, 0]])})

    with pytest.raises(ValueError, match="features has values that are no finite numbers"):
        TopoSwaps().check(Broken(0, {}, None))
