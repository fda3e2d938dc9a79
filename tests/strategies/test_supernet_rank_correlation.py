"""The ranking of a supernet against tables of the truth, and tables that are none."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from pyarrow import parquet
from torch import Tensor

from trainwright.strategy import Context
from trainwright_strategies.residual_supernet import ResidualSupernet
from trainwright_strategies.supernet_rank_correlation import (
    SupernetRankCorrelation,
    chosen,
    kendall_tau,
)
from trainwright_strategies.supernets.space import PathSpace
from trainwright_strategies.supernets.truth import parse_path, read_truth

SPACE = PathSpace(("skip", "conv", "pool"), 2)


def written(
    folder: Path, rows: list[list[Any]], columns: tuple[str, ...] = ("path", "accuracy")
) -> str:
    file = folder / "truth.csv"
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([columns, *rows])
    return str(file)


@pytest.mark.parametrize("text", ["1-0", "[1, 0]", "(1,0)", "1 0", [1, 0], "conv|skip"])
def test_paths_are_read_as_tables_write_them(text: Any) -> None:
    assert parse_path(text, SPACE) == (1, 0)
    one = PathSpace(("a", "b"), 1)
    assert parse_path(1, one) == parse_path("b", one) == (1,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("conv|dense", "is no path"),
        ("1-x", "is no path"),
        ("1-0-2", "2 edges"),
        ("1-3", "no operation 3"),
    ],
)
def test_what_is_no_path_is_told(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_path(text, SPACE)


def test_csv_and_parquet_say_the_same(tmp_path: Path) -> None:
    truth = {(0, 1): 0.5, (2, 2): 0.75}
    url = written(tmp_path, [["0-1", 0.5], ["2-2", 0.75]])
    assert read_truth(url, SPACE, "accuracy") == truth
    table = pa.table({"path": [[0, 1], [2, 2]], "mean": [0.5, 0.75], "sd": [0.1, 0.2]})
    parquet.write_table(table, tmp_path / "truth.parquet")
    assert read_truth(str(tmp_path / "truth.parquet"), SPACE, "mean") == truth


@pytest.mark.parametrize(
    ("rows", "column", "message"),
    [
        ([["0-1", 0.5], ["0-1", 0.6]], "accuracy", "row 2: the path is there twice"),
        ([["0-1", 0.5], ["0-2", math.nan]], "accuracy", "row 2: None is no number"),
        ([["0-1", 0.5], ["0-2", "good"]], "accuracy", "row 1: '0.5' is no number"),
        ([["0-1", 0.5], ["0-7", 0.6]], "accuracy", "row 2: there is no operation 7"),
        ([["0-1", 0.5]], "accuracy", "has 1 paths, and a ranking needs two"),
        ([["0-1", 0.5], ["0-2", 0.6]], "mean", "no column 'mean'; it has 'path', 'accuracy'"),
    ],
)
def test_tables_that_say_no_truth_are_refused(
    rows: list[list[Any]], column: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        read_truth(written(tmp_path, rows), SPACE, column)


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    broken = tmp_path / "truth.parquet"
    broken.write_bytes(b"no table")
    for url in (str(tmp_path / "none.csv"), str(broken)):
        with pytest.raises(ValueError, match="cannot be read"):
            read_truth(url, SPACE, "accuracy")


def test_tau_is_that_of_counted_pairs() -> None:
    torch.manual_seed(0)
    first, second = torch.randn(20).tolist(), torch.randn(20).tolist()
    pairs = [(i, j) for i in range(20) for j in range(i)]
    agree = sum(1 if (first[i] - first[j]) * (second[i] - second[j]) > 0 else -1 for i, j in pairs)
    assert kendall_tau(first, second) == pytest.approx(agree / len(pairs))
    assert kendall_tau(first, [-2 * value for value in first]) == pytest.approx(-1)
    assert kendall_tau([0.5, 0.5, 0.5], [1, 2, 3]) == 0.0


def test_some_paths_are_the_same_ones_each_time() -> None:
    truth = dict.fromkeys(SPACE.all(), 0.0)
    assert chosen(truth, None, 0) == chosen(truth, 99, 0) == sorted(truth)
    some = chosen(truth, 4, 0)
    assert len(set(some)) == 4
    assert some == chosen(dict(reversed(truth.items())), 4, 0) == sorted(some)
    assert any(chosen(truth, 4, seed) != some for seed in range(1, 5))


class Evaluation:
    """An evaluation on one worker, in two batches."""

    def __init__(self, model: ResidualSupernet, x: Tensor, target: Tensor) -> None:
        self.model, self.x, self.target = model, x, target

    def batches(self) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
        for part in (slice(0, 30), slice(30, None)):
            yield {"target": self.target[part]}, self.model(self.x[part])

    def sum(self, value: Tensor) -> Tensor:
        return value


def test_paths_are_measured_with_the_weights_that_they_inherit(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, x, target = ResidualSupernet(6, 4, edges=2), torch.randn(50, 6), torch.randint(4, (50,))
    expected = {}
    for path in model.space.all():
        alone = ResidualSupernet(6, 4, edges=2, path=path)
        alone.load_state_dict(model.state_dict(), strict=False)
        expected[path] = float((alone(x)["logits"].argmax(1) == target).float().mean())
    rows = [["-".join(map(str, path)), value] for path, value in expected.items()]
    probe, usual = SupernetRankCorrelation(written(tmp_path, rows)), model.path
    assert probe.model(model, Context(seed=0)) is model
    found = probe.evaluate(Evaluation(model, x, target))
    assert found["kendall_tau"] == pytest.approx(1.0)
    assert found["inherited_accuracy"] == pytest.approx(sum(expected.values()) / 16)
    assert found["inherited_best"] == pytest.approx(max(expected.values()))
    assert model.path == usual


def test_options_and_models_that_will_not_do_are_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="num_paths must be a whole number of at least 2"):
        SupernetRankCorrelation("truth.csv", num_paths=1)
    probe = SupernetRankCorrelation(written(tmp_path, [["0-0", 0.5], ["0-1", 0.6]]))
    with pytest.raises(ValueError, match="the model is no supernet"):
        probe.model(torch.nn.Linear(2, 2), Context(seed=0))
    with pytest.raises(ValueError, match="row 1: a path has one operation for each of 3 edges"):
        probe.model(ResidualSupernet(4, 2), Context(seed=0))
