"""Pictures of a federation, drawn from what its journal and its tables of clients hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pyarrow import parquet

from trainwright.federated.client_plots import bin_edges
from trainwright.federated.plots import over_megabytes
from trainwright.storage import Folder
from trainwright.tracking import JournalWriter, plot_run
from trainwright.tracking.artifacts import MAX_RESULT_BYTES, result_files
from trainwright.tracking.plots import Curve, read_curves


def recorded(folder: Folder, rounds: int = 6, **further: float) -> None:
    """The journal of a federation that sends 1 MB up and 3 MB down in every round."""
    folder.write_json("resolved.json", {"kind": "federated"})
    with JournalWriter(folder, 1, [], 1) as journal:
        for round in range(1, rounds + 1):
            values = {
                "train/loss": 3 / round,
                "train/lr": 0.1,
                "train/update_norm": 0.5,
                "federation/megabytes_up": 1.0 * round,
                "federation/megabytes_down": 3.0 * round,
            }
            journal.metrics(round, {**values, **further})
            if round % 2 == 0:
                terms = {
                    "decomposition/local_loss": 2 / round,
                    "decomposition/distribution_shift": 3 / round,
                    "decomposition/aggregation": -1 / round,
                }
                journal.metrics(round, {"validation/loss": 4 / round, **terms})
                journal.metrics(round, {"validation/accuracy": round / 10})


def measured(folder: Folder, round: int, columns: Mapping[str, Any]) -> None:
    number = len(next(iter(columns.values())))
    table = pa.table({"client": list(range(number)), **columns})
    place = Path(folder.url) / "client_metrics"
    place.mkdir(exist_ok=True)
    parquet.write_table(table, place / f"round-{round:08d}.parquet")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Axes]]:
    """The axes of every figure that is drawn, by the label of the first."""
    found: dict[str, list[Axes]] = {}
    save = Figure.savefig

    def note(figure: Figure, *args: Any, **options: Any) -> None:
        found[figure.axes[0].get_ylabel() + " | " + figure.axes[0].get_xlabel()] = figure.axes
        save(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", note)
    return found


def test_every_metric_is_drawn_over_rounds_and_over_all_megabytes(
    tmp_path: Path, drawn: dict[str, list[Axes]]
) -> None:
    folder = Folder(str(tmp_path))
    recorded(folder)
    assert plot_run(folder) == [
        "plots/loss.png",
        "plots/validation-accuracy.png",
        "plots/decomposition.png",
        "plots/update-norm.png",
    ]
    left, right = drawn["validation/accuracy | round"]
    assert left.lines[0].get_xdata().tolist() == [2, 4, 6]
    assert right.lines[0].get_xdata().tolist() == [8.0, 16.0, 24.0]
    assert right.lines[0].get_ydata().tolist() == [0.2, 0.4, 0.6]
    assert right.get_xscale() == "linear"
    (terms,) = drawn["loss of the global model, and its terms | round"]
    curves = {str(line.get_label()): np.array(line.get_ydata()) for line in terms.lines}
    parts = curves["local loss"] + curves["distribution shift"] + curves["aggregation"]
    np.testing.assert_allclose(parts, curves["all together"])


def test_many_megabytes_are_drawn_on_a_logarithmic_axis_and_what_changes_by_itself(
    tmp_path: Path, drawn: dict[str, list[Axes]]
) -> None:
    folder = Folder(str(tmp_path))
    recorded(folder, rounds=100, **{"federation/clip": 0.3})
    with JournalWriter(folder, 2, [[1, 100]], 1) as journal:
        for round in range(101, 103):
            journal.metrics(round, {"federation/epsilon": round / 50, "train/lr": 0.05})
    names = plot_run(folder)
    assert {"plots/epsilon.png", "plots/lr.png"} <= set(names)
    assert drawn["loss | round"][1].get_xscale() == "log"
    assert [line.get_label() for line in drawn["L2 norm of the clients' updates | round"][0].lines][
        1:
    ] == ["mean of the clients", "clip"]


@pytest.mark.parametrize("number", [5, 1000])
def test_clients_are_counted_as_they_were_measured_last(
    number: int, tmp_path: Path, drawn: dict[str, list[Axes]]
) -> None:
    folder = Folder(str(tmp_path))
    recorded(folder)
    values = np.random.default_rng(0).uniform(0.4, 0.9, number)
    measured(folder, 2, {"client/accuracy": np.zeros(number)})
    further = {"personalised/accuracy": values + 0.1, "client/loss": np.full(number, np.nan)}
    measured(folder, 6, {"client/accuracy": values, **further})
    assert {"plots/clients-accuracy.png", "plots/clients-loss.png"} <= set(plot_run(folder))
    (axes,) = drawn["clients | accuracy at a client after round 6"]
    heights = [[bar.get_height() for bar in bars] for bars in axes.containers]  # type: ignore[attr-defined]
    assert [sum(one) for one in heights] == [number, number]
    edges = bin_edges(np.concatenate([values, values + 0.1]))
    assert heights[0] == np.histogram(values, edges)[0].tolist()
    legend = axes.get_legend()
    assert legend is not None
    assert legend.get_texts()[0].get_text() == f"global model, mean {values.mean():.3g}"


def test_a_curve_over_megabytes_leaves_out_rounds_of_which_they_are_not_known() -> None:
    curves = {
        "federation/megabytes_up": Curve([1, 2], [1.0, 2.0]),
        "federation/megabytes_down": Curve([1, 2, 3], [10.0, 20.0, 30.0]),
    }
    moved = over_megabytes(Curve([2, 3], [0.5, 0.6]), curves)
    assert (list(moved.steps), moved.values) == ([22.0], [0.5])


def test_bars_of_equal_values_have_a_width() -> None:
    for value in (0.0, 1.0, -3.0):
        edges = bin_edges(np.full(7, value))
        assert np.all(np.diff(edges) > 0)
        assert edges[0] < value < edges[-1]


def test_a_federation_without_any_round_has_no_plots(tmp_path: Path) -> None:
    Folder(str(tmp_path)).write_json("resolved.json", {"kind": "federated"})
    assert plot_run(Folder(str(tmp_path))) == []
    assert read_curves(Folder(str(tmp_path))) == {}


def test_partition_and_tables_of_clients_go_to_mlflow_unless_they_are_very_large(
    tmp_path: Path,
) -> None:
    folder = Folder(str(tmp_path))
    measured(folder, 2, {"client/loss": [1.0]})
    measured(folder, 4, {"client/loss": [0.5]})
    folder.write_bytes("partition.parquet", b"table")
    names = [name for name, _ in result_files(folder)]
    tables = ["client_metrics/round-00000002.parquet", "client_metrics/round-00000004.parquet"]
    assert sorted(names) == [*tables, "partition.parquet"]
    with (tmp_path / "partition.parquet").open("wb") as file:
        file.truncate(MAX_RESULT_BYTES + 1)
    assert [name for name, _ in result_files(folder)] == tables
