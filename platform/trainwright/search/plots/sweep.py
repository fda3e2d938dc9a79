"""The pictures of a sweep from its trials as they are kept."""

from __future__ import annotations

from collections.abc import Sequence

from trainwright.search.goals import Goal, Judge
from trainwright.search.plots.drawing import Drawn, draw
from trainwright.search.plots.rows import Metric, TrialRow
from trainwright.search.space.space import Space
from trainwright.search.trials import Trial
from trainwright.storage import Folder


def plot_sweep(
    space: Space, judge: Judge, trials: Sequence[Trial], folder: Folder, title: str
) -> Drawn:
    """Draw all pictures of a sweep; see :func:`trainwright.search.plots.drawing.draw`.

    Args:
        space: what was tried.
        judge: what trials are judged by.
        trials: all of them.
        folder: of the sweep's own run.
        title: stands above the pictures.
    """
    has_epochs = any(milestone.epoch > 0 for trial in trials for milestone in trial.curve)
    rows = [_row(trial, judge, has_epochs) for trial in trials]
    metrics = [_metric(goal) for goal in judge.goals]
    return draw(rows, space, metrics, folder, title, "epoch" if has_epochs else "step")


def _row(trial: Trial, judge: Judge, has_epochs: bool) -> TrialRow:
    known = [(goal.name, goal.of(trial)) for goal in judge.goals]
    return TrialRow(
        number=trial.number,
        label=f"trial {trial.number}",
        assignment=trial.assignment,
        # An interrupted one goes on when the sweep does.
        state="running" if trial.state == "interrupted" else trial.state,
        values={name: value for name, value in known if value is not None},
        curve=[(m.epoch if has_epochs else m.step, m.metrics) for m in trial.curve],
    )


def _metric(goal: Goal) -> Metric:
    return Metric(goal.name, "max" if goal.highest else "min")
