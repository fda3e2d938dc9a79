"""Pictures of a sweep: what stands in each of them, and why one is left out."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainwright.search.goals import Goal, Judge
from trainwright.search.plots import Metric, TrialRow, draw, plot_sweep
from trainwright.search.plots.history import draw_curves, draw_history
from trainwright.search.plots.parallel import draw_parallel
from trainwright.search.plots.pareto import draw_pareto
from trainwright.search.plots.rows import NothingToSeeError
from trainwright.search.plots.slices import draw_slices
from trainwright.search.plots.style import BEST
from trainwright.search.space import Space
from trainwright.search.trials import Milestone, Trial
from trainwright.storage import Folder

SPACE = Space.parse(
    {
        "lr": {"loguniform": [1e-4, 1]},
        "objective": {"choice": ["ce", {"name": "z", "a": {"uniform": [0, 1]}}]},
        "width": {"int": [8, 64]},
    }
)
ACCURACY, SIZE = Metric("accuracy", "max"), Metric("parameters", "min")
BOTH = [ACCURACY, SIZE]


def row(number: int, value: float | None, state: Any = "finished", **more: Any) -> TrialRow:
    """A trial whose objective is z if its number is odd."""
    chosen: dict[str, Any] = {"lr": 10.0 ** -(1 + number % 3), "objective": "ce"}
    if number % 2:
        chosen |= {"objective": "z", "objective[z].a": number / 20}
    chosen["width"] = 8 + number
    values = {} if value is None else {"accuracy": value, "parameters": 100.0 * (8 + number)}
    curve = [(epoch, {"accuracy": (value or 0.1) * epoch / 4}) for epoch in range(1, 5)]
    return TrialRow(number, f"trial {number}", chosen, state, {**values, **more}, curve)


ROWS = [
    row(0, 0.5),
    row(1, 0.7),
    row(2, 0.99, "stopped"),
    row(3, None, "failed"),
    row(4, 0.6),
    row(5, 0.8),
    row(6, 0.4, "running"),
    row(7, None, "waiting"),
    row(8, 0.75),
    row(9, math.nan),
]


def axes_of(canvas: Any) -> list[Any]:
    return [panel.axes for panel in canvas._panels]


def points(axes: Any, color: str | None = None, marker: str | None = None) -> set[Any]:
    """The points of all lines of a colour or with a mark."""
    return {
        (float(x), float(y))
        for line in axes.lines
        if (color is None or line.get_color() == color)
        and (marker is None or line.get_marker() == marker)
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    }


def legend(axes: Any) -> list[str]:
    return [str(label) for label in axes.get_legend_handles_labels()[1]]


class TestHistory:
    def test_values_in_order_and_the_best_finished_one_so_far(self) -> None:
        (axes,) = axes_of(draw_history(ROWS, [ACCURACY], "t"))
        shown = points(axes, marker="o")
        assert shown == {
            (0, 0.5), (1, 0.7), (2, 0.99), (4, 0.6), (5, 0.8), (6, 0.4), (8, 0.75)
        }  # fmt: skip
        (line,) = [
            line for line in axes.lines if line.get_color() == BEST and line.get_xdata().size
        ]
        assert list(line.get_xdata()) == [0, 1, 4, 5, 8, 9]
        assert list(line.get_ydata()) == [0.5, 0.7, 0.7, 0.8, 0.8, 0.8]
        assert {x for x, _ in points(axes, marker="x")} == {3}
        assert legend(axes) == ["best so far", "finished", "stopped", "running", "failed"]

    def test_the_least_is_best_where_that_is_the_goal(self) -> None:
        (axes,) = axes_of(draw_history(ROWS, [Metric("accuracy", "min")], "t"))
        assert min(y for _, y in points(axes, BEST)) == 0.5
        assert max(y for _, y in points(axes, BEST)) == 0.5

    def test_values_over_two_decades_are_on_a_logarithmic_axis(self) -> None:
        rows = [row(0, 0.001), row(1, 0.9)]
        assert axes_of(draw_history(rows, BOTH, "t"))[0].get_yscale() == "log"


class TestCurves:
    def test_the_best_one_is_emphasised_and_stopped_ones_are_pale(self) -> None:
        (axes,) = axes_of(draw_curves(ROWS, BOTH, "t", "epoch"))
        best = [line for line in axes.lines if line.get_color() == BEST]
        assert [list(line.get_ydata()) for line in best] == [[0.2, 0.4, 0.6000000000000001, 0.8]]
        assert legend(axes)[0] == "best: trial 5"
        # All but the one that waits and the one without a number, and the best one once more.
        assert len([line for line in axes.lines if len(line.get_xdata()) == 4]) == 8 + 1
        assert axes.get_xlabel() == "epoch"

    def test_one_evaluation_each_makes_no_curve(self) -> None:
        rows = [TrialRow(0, "t", {}, "finished", {"accuracy": 1.0}, [(1, {"accuracy": 1.0})])]
        with pytest.raises(NothingToSeeError, match="evaluated more than once"):
            draw_curves(rows, [ACCURACY], "t", "epoch")


class TestParallel:
    def test_inactive_parameters_are_gaps(self) -> None:
        (axes,) = axes_of(draw_parallel(ROWS, SPACE.parameters, [ACCURACY], "t"))
        lines = [line for line in axes.lines if line.get_linestyle() == "-"]
        across = [np.asarray(line.get_ydata(), float) for line in lines]
        whole = [heights for heights in across if len(heights) == 5]
        # The judged trials, and the best one once more; z has an axis of its own at place 2.
        gaps = [bool(np.isnan(heights[2])) for heights in whole]
        assert (gaps.count(True), gaps.count(False)) == (4, 3)
        assert all(np.isfinite(np.delete(heights, 2)).all() for heights in whole)
        dotted = [line for line in axes.lines if line.get_linestyle() == ":"]
        assert [list(line.get_xdata()) for line in dotted] == [[1, 3]] * 4

    def test_places_are_those_of_the_domains(self) -> None:
        (axes,) = axes_of(draw_parallel(ROWS, SPACE.parameters, [ACCURACY], "t"))
        (best,) = [
            line for line in axes.lines if line.get_color() == BEST and len(line.get_xdata()) == 5
            and line.get_linestyle() == "-"
        ]  # fmt: skip
        lr, objective, a, width, accuracy = best.get_ydata()
        assert lr == pytest.approx(0.25)
        assert objective == pytest.approx(0.75, abs=0.125)
        assert a == 0.25
        assert width == pytest.approx(5 / 56)
        assert accuracy == pytest.approx((0.8 - 0.5) / (0.99 - 0.5))
        texts = [text.get_text() for text in axes.texts]
        assert {"ce", "z", "0.0001", "1", "0.01"} <= set(texts)

    @pytest.mark.parametrize(
        ("rows", "parameters", "reason"),
        [
            (ROWS[:1], SPACE.parameters, "fewer than two trials have a value"),
            (ROWS, SPACE.parameters[:1], "there is one parameter alone"),
        ],
    )
    def test_nothing_to_see(self, rows: Any, parameters: Any, reason: str) -> None:
        with pytest.raises(NothingToSeeError, match=reason):
            draw_parallel(rows, parameters, [ACCURACY], "t")


class TestSlices:
    def test_a_mark_for_each_trial_in_which_the_parameter_is_active(self) -> None:
        drawn = axes_of(draw_slices(ROWS, SPACE.parameters, ACCURACY, "t"))
        assert [axes.get_xlabel() for axes in drawn] == [
            "lr",
            "objective",
            "objective[z].a",
            "width",
        ]
        counts = [len(points(axes, marker="o")) for axes in drawn]
        assert counts == [6, 6, 2, 6]
        assert points(drawn[2], BEST, "D") == {(0.25, 0.8)}
        assert [tick.get_text() for tick in drawn[1].get_xticklabels()] == ["ce", "z"]

    def test_a_parameter_with_one_value_is_left_out(self) -> None:
        rows = [
            TrialRow(n, "", {"lr": 0.1, "width": n}, "finished", {"accuracy": 1.0 * n})
            for n in (8, 9)
        ]
        drawn = axes_of(draw_slices(rows, SPACE.parameters, ACCURACY, "t"))
        assert [axes.get_xlabel() for axes in drawn] == ["width"]
        with pytest.raises(NothingToSeeError, match="no parameter has taken two values"):
            draw_slices(rows, SPACE.parameters[:1], ACCURACY, "t")


class TestPareto:
    def test_the_front_is_joined_by_steps(self) -> None:
        (axes,) = axes_of(draw_pareto(ROWS, BOTH, "t"))
        front = {(0.5, 800.0), (0.7, 900.0), (0.8, 1300.0)}
        assert points(axes, BEST, "D") == front
        (steps,) = [line for line in axes.lines if line.get_drawstyle().startswith("steps")]
        # Who wants an accuracy above 0.5 needs the 900 parameters of the next one.
        assert steps.get_drawstyle() == "steps-pre"
        assert {text.get_text() for text in axes.texts} == {"0", "1", "5"}
        assert (0.99, 1000.0) not in points(axes)

    def test_three_metrics_make_three_pairs(self) -> None:
        rows = [row(n, 0.1 * n, loss=float(n)) for n in range(1, 4)]
        loss = Metric("loss", "min")
        drawn = axes_of(draw_pareto(rows, [*BOTH, loss], "t"))
        assert [(axes.get_xlabel()[:4], axes.get_ylabel()[:4]) for axes in drawn] == [
            ("accu", "para"),
            ("accu", "loss"),
            ("para", "loss"),
        ]
        assert not any(line.get_drawstyle().startswith("steps") for a in drawn for line in a.lines)


class TestDraw:
    def test_all_pictures_of_a_sweep(self, tmp_path: Path) -> None:
        rows = [*ROWS, *(row(n, 0.5 + n / 100) for n in range(10, 22))]
        drawn = draw(rows, SPACE, BOTH, Folder(str(tmp_path)), "rates", "step")
        assert drawn.omitted == {}
        assert drawn.names == [
            f"plots/{name}.png"
            for name in (
                "history", "curves", "parallel", "importance", "pareto",
                "slices-accuracy", "slices-parameters",
            )
        ]  # fmt: skip
        for name in drawn.names:
            assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")

    def test_of_trials_as_they_are_kept(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        given: list[Any] = []
        monkeypatch.setattr("trainwright.search.plots.sweep.draw", lambda *args: given.append(args))
        trials = [
            Trial(0, {"lr": 0.1}, "interrupted"),
            Trial(1, {"lr": 0.2}, "finished", curve=[Milestone(4, 1.0, {"accuracy": 0.5})],
                  weights=10, metrics={"accuracy": 0.7}),
        ]  # fmt: skip
        judge = Judge((Goal("accuracy", True), Goal("parameters", False)))
        folder = Folder(str(tmp_path))
        plot_sweep(SPACE, judge, trials, folder, "t")
        rows = [
            TrialRow(0, "trial 0", {"lr": 0.1}, "running", {}, []),
            TrialRow(1, "trial 1", {"lr": 0.2}, "finished", {"accuracy": 0.7, "parameters": 10.0},
                     [(1.0, {"accuracy": 0.5})]),
        ]  # fmt: skip
        assert given == [(rows, SPACE, BOTH, folder, "t", "epoch")]

    def test_what_is_left_out_has_a_reason(self, tmp_path: Path) -> None:
        waiting = [TrialRow(n, "", {"lr": 0.1}, "waiting") for n in range(3)]
        for rows in (waiting, []):
            drawn = draw(rows, SPACE, [ACCURACY], Folder(str(tmp_path)))
            assert drawn.names == []
            assert drawn.omitted == {
                "history": "no trial has a value yet",
                "curves": "no trial was evaluated more than once",
                "parallel": "fewer than two trials have a value",
                "importance": "0 trials have a value, and it takes 8",
                "pareto": "there is one metric alone",
                "slices": "fewer than two trials have a value",
            }
        assert not (tmp_path / "plots").exists()
