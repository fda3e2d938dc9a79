"""What is known of a job that would run, without running it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from trainwright.runs import RunRecord, Unit, run_folder
from trainwright.storage import Folder

if TYPE_CHECKING:
    from trainwright.job import Job
    from trainwright.job.models import TrainJob


@dataclass(frozen=True, repr=False)
class Validation:
    """A job that would run.

    Attributes:
        run: the name its run has or would have.
        storage: URL of the run's folder.
        steps: updates or rounds planned; 0 where that is not known beforehand.
        summary: what will be done with what and where, one line each.
        remarks: what depends on the number of workers.
        earlier: status of the run of this name; None when it has never been started.
        earlier_steps: updates or rounds that run has finished.
        unit: what is counted.
    """

    run: str
    storage: str
    steps: int
    summary: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    earlier: str | None = None
    earlier_steps: int = 0
    unit: Unit = "steps"

    @classmethod
    def of(
        cls,
        storage: Folder,
        name: str,
        steps: int,
        summary: list[str],
        remarks: list[str],
        unit: Unit = "steps",
    ) -> Validation:
        """What is known of the run ``name`` under ``storage``, whether or not it was ever started.

        Args:
            storage: where runs are kept.
            name: the run's name.
            steps: updates or rounds planned.
            summary: what will be done, one line each.
            remarks: what the user should know.
            unit: what is counted.
        """
        folder = run_folder(storage, name)
        record = RunRecord.load(folder)
        return cls(
            run=record.name if record else name,
            storage=folder.url,
            steps=steps,
            summary=summary,
            remarks=remarks,
            earlier=record.true_status if record else None,
            earlier_steps=record.steps if record else 0,
            unit=unit,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"status": "valid", **asdict(self)}

    def __repr__(self) -> str:
        lines = [f"{self.run}: a valid job", *(f"  {line}" for line in self.summary)]
        lines += [f"  note: {remark}" for remark in self.remarks]
        return "\n".join([*lines, f"  {self.prospect}"])

    @property
    def prospect(self) -> str:
        """What running it now would do, in words."""
        done = f"at {self.unit.removesuffix('s')} {self.earlier_steps}" + (
            f" of {self.steps}" if self.steps else ""
        )
        if self.earlier is None:
            return "it has not been run yet"
        if self.earlier == "finished":
            return "it is finished already; running it again would train nothing"
        if self.earlier == "running":
            return f"it is running at the moment, {done}"
        return (
            f"an earlier attempt {_ENDS[self.earlier]} {done}; running it again goes on from there"
        )


_ENDS = {"interrupted": "was interrupted", "failed": "failed"}


def validate_training(job: Job) -> Validation:
    """Check a job of kind ``train`` whole, data and plugins included; nothing is started.

    Raises:
        InputError: it would not run; every problem is in its ``problems``.
    """
    from trainwright.orchestration.prepare import prepare, storage_of

    prepared = prepare(job)
    summary = [*prepared.summary, _workers(job.spec)]
    steps = prepared.total_steps
    return Validation.of(storage_of(job), prepared.name, steps, summary, list(prepared.remarks))


def _workers(spec: TrainJob) -> str:
    from trainwright.engine import engine_name

    cluster = spec.cluster
    engine = engine_name(spec)
    if engine == "deepspeed":
        stage = spec.deepspeed.get("zero_optimization", {}).get("stage", 0)
        engine = f"DeepSpeed, ZeRO stage {stage}"
    how = f"{engine}, {spec.training.precision}"
    if cluster.max_workers == 0:
        return f"workers: none, in this process; {how}"
    shares = f"{cluster.cpus_per_worker:g} CPU"
    if cluster.gpus_per_worker:
        shares += f" and {cluster.gpus_per_worker:g} GPU"
    number = str(cluster.max_workers)
    if cluster.is_elastic:
        number = f"{cluster.min_workers} to {number}, as many as there is room for,"
    return f"workers: {number} with {shares} each, on Ray ({cluster.address}); {how}"
