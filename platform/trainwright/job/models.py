"""What a job file may contain: one frozen pydantic model per section.

Field descriptions are the reference a user reads in ``trainwright schema``; rules that join
several fields live in :mod:`trainwright.job.rules`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from trainwright.durations import Duration

Fraction = Annotated[float, Field(gt=0, lt=1)]
PositiveInt = Annotated[int, Field(gt=0)]


class Section(BaseModel):
    """A part of a job file: immutable, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class PluginSpec(BaseModel):
    """A plugin by name with its options; a bare string is the name alone.

    ``name`` is a short name from ``trainwright list``, an import path (``package.module.Class``)
    or a file beside the job (``losses.py:MyLoss``). Every key that is not listed here is an
    option of the plugin and is checked against its constructor. An option whose name is also a
    key of the job (the ``weight`` of a torch loss, say) goes under ``options``.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = Field(min_length=1, description="short name, import path or file.py:Name")

    @model_validator(mode="before")
    @classmethod
    def _from_bare_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @property
    def options(self) -> dict[str, Any]:
        """The constructor options: all keys that are not fields, and those under ``options``."""
        extra = dict(self.model_extra or {})
        nested = extra.pop("options", {})
        return {**extra, **nested} if isinstance(nested, dict) else {**extra, "options": nested}


class ObjectiveSpec(PluginSpec):
    """One objective of the (weighted) sum that is minimised."""

    weight: float = Field(1.0, description="factor of this objective in the sum")
    bind: dict[str, str] = Field(
        default_factory=dict,
        description="argument of the objective -> model output or batch column, where names differ",
    )


class ModelSpec(PluginSpec):
    """The model to train."""

    inputs: dict[str, str] = Field(
        default_factory=dict,
        description="argument of the model's forward -> batch column, where names differ",
    )
    outputs: list[str] | None = Field(
        None, description="names of the outputs of a model that returns a tensor or a tuple"
    )


class MetricSpec(PluginSpec):
    """A metric computed at each evaluation."""

    bind: dict[str, str] = Field(
        default_factory=dict,
        description="argument of the metric's update -> model output or batch column",
    )


class HeldOut(Section):
    """How to get an evaluation table: a share of the training source, or a source of its own."""

    fraction: Fraction | None = Field(None, description="share of the samples, between 0 and 1")
    stratify: bool | None = Field(
        None, description="keep class proportions; default: yes where the target is a class"
    )
    seed: int = Field(0, ge=0, description="seed of the split, apart from the job's seed")
    source: str | PluginSpec | None = Field(None, description="a dataset or URL of its own")

    @model_validator(mode="before")
    @classmethod
    def _from_fraction(cls, value: Any) -> Any:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return {"fraction": value}
        return value


class ColumnSpec(Section):
    """The declared type of one column of a file source."""

    type: Literal["image", "vector", "value", "class", "tokens", "mask"] = Field(
        description="what the column holds"
    )
    source: str | list[str] | None = Field(
        None,
        alias="from",
        description="file column(s) to read; several scalar columns make one vector; default: same name",
    )
    shape: list[PositiveInt] | None = Field(
        None, description="shape of one sample, e.g. [3, 32, 32] for an image (channels first)"
    )
    classes: PositiveInt | list[str | int] | None = Field(
        None, description="number of classes, or their labels in index order"
    )
    length: PositiveInt | None = Field(None, description="tokens: length after padding or cutting")

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class DataSpec(Section):
    """Where samples come from and how they are batched."""

    source: str | PluginSpec = Field(
        description="a dataset plugin, or any fsspec URL (file, folder or glob) of parquet, arrow, csv"
    )
    format: Literal["auto", "parquet", "arrow", "csv"] = Field(
        "auto", description="file format; auto goes by the ending"
    )
    columns: dict[str, ColumnSpec] = Field(
        default_factory=dict, description="column name -> declared type; needed for file sources"
    )
    batch_size: PositiveInt = Field(
        32, description="samples per update over all workers (the global batch)"
    )
    shuffle: bool = Field(True, description="a new order each epoch, from the seed alone")
    validation: HeldOut | None = Field(None, description="evaluated during training")
    test: HeldOut | None = Field(None, description="evaluated once, at the end")
    transforms: list[PluginSpec] = Field(
        default_factory=list, description="applied to each batch in this order"
    )


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

    epochs: PositiveInt | None = Field(None, description="passes over the training data")
    steps: PositiveInt | None = Field(None, description="updates; give epochs or steps")
    micro_batch_size: PositiveInt | None = Field(
        None,
        description="samples per forward and worker; default: the worker's whole share of the batch",
    )
    evaluation_batch_size: PositiveInt | None = Field(
        None, description="samples per forward and worker in evaluation; default: as in training"
    )
    evaluate_every: Duration = Field(
        Duration(1, "epochs"), description="time between evaluations on the validation split"
    )
    checkpoint_every: Duration = Field(
        Duration(1, "epochs"), description="time between checkpoints"
    )
    keep: KeepPolicy = Field(default_factory=KeepPolicy, description="which checkpoints stay")
    monitor: Monitor | None = Field(
        None, description="metric that marks the best checkpoint; default: validation/loss"
    )
    precision: Literal["fp32", "bf16", "fp16"] = Field(
        "fp32", description="number format of forward and backward; fp16 needs a GPU"
    )
    max_grad_norm: Annotated[float, Field(gt=0)] | None = Field(
        None, description="the global gradient is scaled down to this L2 norm"
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


class ClusterSpec(Section):
    """Where the workers run."""

    address: str = Field(
        "local",
        pattern=r"^(local|auto|(ray://)?[^:\s]+:\d+)$",
        description="local: a Ray of this run's own; auto: the running one; or host:port",
    )
    workers: int = Field(
        1, ge=0, description="training processes; 0 trains in this process without Ray"
    )
    cpus_per_worker: Annotated[float, Field(gt=0)] = Field(
        1.0, description="CPU share reserved per worker; fractions allowed"
    )
    gpus_per_worker: Annotated[float, Field(ge=0)] = Field(
        0.0, description="GPUs per worker; above 0 training runs on CUDA"
    )
    max_failures: int = Field(
        2, ge=0, description="how many times lost workers are restarted from the last checkpoint"
    )


class TrackingSpec(Section):
    """Where MLflow records the run."""

    uri: str | None = Field(
        None, description="MLflow tracking URI; default: mlflow.db beside the storage folder"
    )
    experiment: str | None = Field(None, description="MLflow experiment; default: the job's name")
    enabled: bool = Field(True, description="false keeps the journal only")
    log_model: Literal["auto", "never"] = Field(
        "never", description="auto: also store an MLflow model (pt2) at the end"
    )
    system_metrics: bool = Field(True, description="processor, memory and GPU use of worker 0")
    drain_timeout_s: Annotated[float, Field(ge=0)] = Field(
        30.0, description="how long the end of a run waits for rows not yet sent; sync sends the rest"
    )


class TrainJob(Section):
    """A job of kind ``train``: one model, one objective, any number of strategies."""

    version: Literal[1] = Field(1, description="version of the job file's form")
    kind: Literal["train"] = Field("train", description="what kind of job this is")
    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$", description="label; first part of the run name"
    )
    seed: int = Field(0, ge=0, lt=2**63, description="decides initial weights, order and noise")
    data: DataSpec
    model: ModelSpec
    objective: ObjectiveSpec | list[ObjectiveSpec] = Field(
        description="a loss, or a list whose weighted sum is minimised"
    )
    strategies: list[PluginSpec] = Field(
        default_factory=list, description="methods that change training; the first is outermost"
    )
    optimizer: PluginSpec = Field(
        default_factory=lambda: PluginSpec.model_validate({"name": "adamw", "lr": 1e-3})
    )
    schedule: PluginSpec = Field(
        default_factory=lambda: PluginSpec(name="constant"), description="learning rate over time"
    )
    training: TrainingSpec = Field(default_factory=TrainingSpec)
    metrics: list[MetricSpec] = Field(default_factory=list, description="computed at evaluation")
    engine: Literal["auto", "deepspeed", "local"] = Field(
        "auto", description="auto: deepspeed with workers, local in process"
    )
    deepspeed: dict[str, Any] = Field(
        default_factory=dict, description="DeepSpeed's own configuration, passed through"
    )
    cluster: ClusterSpec = Field(default_factory=ClusterSpec)
    storage: str = Field(
        "runs", min_length=1, description="folder or fsspec URL under which runs are kept"
    )
    tracking: TrackingSpec = Field(default_factory=TrackingSpec)

    @property
    def objectives(self) -> list[ObjectiveSpec]:
        """The objectives as a list, also when the job names a single one."""
        return self.objective if isinstance(self.objective, list) else [self.objective]
