"""The ``training`` section of a job: how long and how training proceeds."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from trainwright.durations import Duration
from trainwright.job.compile_spec import Compile
from trainwright.job.plugin_spec import Section

PositiveInt = Annotated[int, Field(gt=0)]


class KeepPolicy(Section):
    """Which checkpoints stay."""

    last: PositiveInt = Field(2, description="number of newest checkpoints that stay")
    best: int = Field(1, ge=0, description="number of best checkpoints that stay besides")


class Monitor(Section):
    """The metric that says which checkpoint is best."""

    metric: str = Field(description="for example validation/accuracy or validation/loss")
    mode: Literal["min", "max"] | None = Field(
        None, description="default: min for losses and errors, otherwise what the metric says"
    )

    @model_validator(mode="before")
    @classmethod
    def _from_bare_name(cls, value: Any) -> Any:
        return {"metric": value} if isinstance(value, str) else value


class TrainingSpec(Section):
    """How long and how training proceeds."""

    WITHOUT_EFFECT = ("checkpoint_every", "keep", "max_failed_checkpoints", "record_samples")

    epochs: PositiveInt | None = Field(None, description="passes over the training data")
    steps: PositiveInt | None = Field(None, description="updates; give epochs or steps")
    micro_batch_size: PositiveInt | None = Field(
        None,
        description="samples per forward and worker; default: the worker's share of the batch, of "
        "a range of workers that of the most",
    )
    evaluation_batch_size: PositiveInt | None = Field(
        None, description="samples per forward and worker in evaluation; default: as in training"
    )
    evaluate_every: Duration = Field(
        Duration(1, "epochs"), description="time between evaluations on the validation split"
    )
    checkpoint_every: Duration = Field(
        Duration(1, "epochs"),
        description="time between checkpoints; trials of a sweep and runs of a comparison that "
        "train in one process leave out those within ten seconds of another where a job does not "
        "say it",
    )
    max_failed_checkpoints: int | None = Field(
        None,
        ge=0,
        description="checkpoints in a row that may fail to be written before training stops; "
        "default: no limit. Each is told, and the last one of a run must be written",
    )
    keep: KeepPolicy = Field(default_factory=KeepPolicy, description="which checkpoints stay")
    monitor: Monitor | None = Field(
        None, description="metric that marks the best checkpoint; default: validation/loss"
    )
    precision: Literal["fp32", "bf16", "fp16"] = Field(
        "fp32", description="number format of forward and backward; fp16 needs a GPU"
    )
    compile: Compile = Field(
        None,
        description="true to let torch.compile make one program of the model, or how it does; "
        "the first updates take longer. Numbers differ by rounding, and by what the model draws at "
        "random. Not at ZeRO stage 3",
    )
    max_grad_norm: Annotated[float, Field(gt=0)] | None = Field(
        None, description="the global gradient is scaled down to this L2 norm"
    )
    on_non_finite: Literal["stop", "skip", "rewind", "ignore"] = Field(
        "stop",
        description="an update whose loss or gradient is nan or infinite: stop training; skip it, "
        "which waits for the device in every update; rewind to the last checkpoint and skip it; "
        "or ignore that it is",
    )
    max_skipped: int = Field(
        100, ge=0, description="updates that may be left out before training stops"
    )
    deterministic: bool = Field(
        False, description="only deterministic kernels; an operation without one is an error"
    )
    record_samples: bool = Field(
        False, description="write the sample ids of every update to the journal"
    )

    @property
    def length(self) -> Duration:
        """The length of training; one epoch when the job says nothing."""
        if self.steps is not None:
            return Duration(self.steps, "steps")
        return Duration(self.epochs or 1, "epochs")
