"""What became of a run, as the caller of ``trainwright.run`` sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from trainwright.runs import RunRecord, Unit
from trainwright.storage import Folder


@dataclass(frozen=True, repr=False)
class RunResult:
    """What became of a run.

    Attributes:
        run: the run's name.
        status: ``finished``, ``interrupted`` when it was asked to stop, or ``failed``.
        metrics: newest value of each evaluated metric, and the last training loss.
        storage: URL of the run's folder.
        mlflow_run_id: where MLflow has it; None without tracking or before the server answered.
        seconds: training time over all attempts.
        steps: updates finished, or rounds.
        already_finished: the run had been finished before; nothing was trained now.
        remarks: things the user should know.
        unit: what ``steps`` counts.
    """

    run: str
    status: str
    metrics: dict[str, float]
    storage: str
    mlflow_run_id: str | None
    seconds: float
    steps: int
    already_finished: bool = False
    remarks: list[str] = field(default_factory=list)
    unit: Unit = "steps"

    @classmethod
    def of(
        cls,
        folder: Folder,
        record: RunRecord,
        *,
        already_finished: bool = False,
        remarks: Sequence[str] = (),
    ) -> RunResult:
        """The result that a run's record tells."""
        return cls(
            run=record.name,
            status=record.true_status,
            metrics=dict(record.metrics),
            storage=folder.url,
            mlflow_run_id=record.mlflow.get("run_id"),
            seconds=record.seconds,
            steps=record.steps,
            already_finished=already_finished,
            remarks=list(remarks),
            unit=record.unit,
        )

    @property
    def exit_status(self) -> int:
        """What the command line ends with when the run has come to its end by itself."""
        return 0

    def to_json(self) -> dict[str, Any]:
        """Plain values, as ``trainwright run --json`` prints them."""
        return {
            "run": self.run,
            "status": self.status,
            "metrics": dict(self.metrics),
            "storage": self.storage,
            "mlflow_run_id": self.mlflow_run_id,
            "seconds": round(self.seconds, 3),
            "steps": self.steps,
            "unit": self.unit,
            "remarks": list(self.remarks),
        }

    def __repr__(self) -> str:
        trained = "nothing trained now" if self.already_finished else f"{self.seconds:.1f} s"
        lines = [f"{self.run}: {self.status}, {self.steps} {self.unit}, {trained}"]
        width = max((len(name) for name in self.metrics), default=0)
        lines += [f"  {name:<{width}}  {value:.6g}" for name, value in sorted(self.metrics.items())]
        lines.append(f"  in {self.storage}")
        lines += [f"  note: {remark}" for remark in self.remarks]
        return "\n".join(lines)
