"""The pictures of a sweep from what its folder holds, where nobody has the job any more."""

from __future__ import annotations

from typing import Any

from trainwright.runs import RESOLVED
from trainwright.search.goals import Goal, Judge
from trainwright.search.plots.sweep import plot_sweep
from trainwright.search.space.space import Space
from trainwright.search.trials import load_trials
from trainwright.storage import Folder

RESULT = "sweep.json"


def plot_kept(folder: Folder) -> list[str]:
    """Draw the pictures of a sweep, finished or not.

    Args:
        folder: of the sweep's own run.

    Returns:
        The names written, relative to the folder; empty where no trial was judged yet.
    """
    job, result = folder.read_object(RESOLVED), folder.read_object(RESULT)
    if job is None or result is None:
        return []
    space, judge = Space.parse(job["space"]), _judge(job, result)
    trials = load_trials(folder, space)
    return plot_sweep(space, judge, trials, folder, str(job["name"])).names


def _judge(job: dict[str, Any], result: dict[str, Any]) -> Judge:
    metric = job.get("metric") or []
    named = metric if isinstance(metric, list) else [metric]
    at = {goal["name"]: goal["at"] for goal in named}
    goals = result["goals"].items()
    return Judge(tuple(Goal(name, goal == "max", at.get(name, "last")) for name, goal in goals))
