"""How the runs of a comparison fare, for whoever watches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from trainwright.compare.plan import Plan
from trainwright.orchestration.light import Ended
from trainwright.runs import RunRecord

Show = Callable[[Mapping[str, Any]], None]


class Board:
    """Collects the progress of all runs and passes it on as one mapping.

    ``runs`` in it is run name -> ``state`` (``waiting``, ``running``, ``finished``, ``kept`` for
    one that an earlier call finished, ``interrupted`` or ``failed``), ``step``, ``total_steps``,
    ``metrics`` and ``loss``; ``step`` and ``total_steps`` beside it are sums.

    Args:
        plan: the comparison.
        show: gets the mapping.
        stopping: whether somebody asked to stop.
    """

    def __init__(self, plan: Plan, show: Show, stopping: Callable[[], bool]) -> None:
        self._show = show
        self._stopping = stopping
        self.runs: dict[str, dict[str, Any]] = {}
        for run in plan.runs:
            known = RunRecord.load(run.folder)
            kept = known is not None and known.status == "finished"
            self.runs[run.name] = {
                "state": "kept" if kept else "waiting",
                "step": known.steps if known else 0,
                "total_steps": run.checked.total_steps,
                "metrics": dict(known.metrics) if known and kept else {},
            }

    @property
    def num_finished(self) -> int:
        """Runs that are complete."""
        return sum(run["state"] in ("finished", "kept") for run in self.runs.values())

    def began(self, name: str) -> None:
        """A run is being trained."""
        self.runs[name]["state"] = "running"
        self.tell()

    def progress(self, name: str, progress: Mapping[str, Any]) -> None:
        """The newest values of a run."""
        if progress and self.runs[name]["state"] == "running":
            kept = ("step", "loss", "metrics")
            run = self.runs[name]
            run.update({key: progress[key] for key in kept if key in progress})
            # Phases, and steps of procedures, are not counted beforehand.
            run["step"] = min(run["step"], run["total_steps"])
            self.tell()

    def ended(self, name: str, ended: Ended) -> None:
        """A run has come to an end."""
        run = self.runs[name]
        run["state"] = ended.status
        if ended.status == "finished":
            run["step"] = run["total_steps"]
        self.tell(f"run {name} failed: {ended.error.splitlines()[0]}" if ended.error else None)

    def tell(self, remark: str | None = None) -> None:
        """Pass everything on."""
        told = {
            "runs": self.runs,
            "step": sum(run["step"] for run in self.runs.values()),
            "total_steps": sum(run["total_steps"] for run in self.runs.values()),
            "stopping": self._stopping(),
        }
        self._show({**told, "remark": remark} if remark else told)
