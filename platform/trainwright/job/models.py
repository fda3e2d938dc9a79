"""What a job file may contain: one frozen pydantic model per section.

Field descriptions are the reference a user reads in ``trainwright schema``; rules that join
several fields live in :mod:`trainwright.job.rules`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator

from trainwright.job.cluster_spec import ClusterSpec
from trainwright.job.plugin_spec import (
    JobSection,
    MetricSpec,
    ModelSpec,
    ObjectiveSpec,
    PluginSpec,
    Section,
)
from trainwright.job.streaming_spec import Streaming
from trainwright.job.training_spec import KeepPolicy, Monitor, TrainingSpec

__all__ = [
    "ClusterSpec",
    "ColumnSpec",
    "DataSource",
    "DataSpec",
    "HeldOut",
    "KeepPolicy",
    "MetricSpec",
    "ModelSpec",
    "Monitor",
    "NamedSource",
    "ObjectiveSpec",
    "PluginSpec",
    "Section",
    "TrackingSpec",
    "TrainJob",
    "TrainingSpec",
]

Fraction = Annotated[float, Field(gt=0, lt=1)]
PositiveInt = Annotated[int, Field(gt=0)]


def _text_or_not(value: Any) -> str:
    return "text" if isinstance(value, str) else "plugin"


def _one_or_many(value: Any) -> str:
    return "many" if isinstance(value, (list, tuple)) else "one"


# The form of a value decides which member of a union it is checked against, so that one mistake
# gives one error and not one for each member.
DataSource = Annotated[
    Annotated[str, Field(min_length=1), Tag("text")] | Annotated[PluginSpec, Tag("plugin")],
    Discriminator(_text_or_not),
]
Objectives = Annotated[
    Annotated[ObjectiveSpec, Tag("one")]
    | Annotated[list[ObjectiveSpec], Field(min_length=1), Tag("many")],
    Discriminator(_one_or_many),
]
FileColumns = Annotated[
    Annotated[str, Tag("one")] | Annotated[list[str], Field(min_length=1), Tag("many")],
    Discriminator(_one_or_many),
]
Classes = Annotated[
    Annotated[PositiveInt, Tag("one")]
    | Annotated[list[str | int], Field(min_length=1), Tag("many")],
    Discriminator(_one_or_many),
]


class HeldOut(Section):
    """How to get an evaluation table: a share of the training source, or a source of its own."""

    fraction: Fraction | None = Field(None, description="share of the samples, between 0 and 1")
    stratify: bool | None = Field(
        None, description="keep class proportions; default: yes where the target is a class"
    )
    seed: int = Field(0, ge=0, description="seed of the split, apart from the job's seed")
    source: DataSource | None = Field(None, description="a dataset or URL of its own")

    @model_validator(mode="before")
    @classmethod
    def _from_fraction(cls, value: Any) -> Any:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return {"fraction": value}
        return value


class ColumnSpec(Section):
    """The declared type of one column of a file source."""

    type: Literal["image", "vector", "value", "class", "tokens", "mask", "group"] = Field(
        description="what the column holds; group: the bag, query or person a sample belongs to"
    )
    source: FileColumns | None = Field(
        None,
        alias="from",
        description="file columns to read; several scalar ones make a vector; default: same name",
    )
    shape: list[PositiveInt] | None = Field(
        None, description="shape of one sample, e.g. [3, 32, 32] for an image (channels first)"
    )
    classes: Classes | None = Field(
        None, description="number of classes, or their labels in index order"
    )
    length: PositiveInt | None = Field(None, description="tokens: length after padding or cutting")

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True
    )


class NamedSource(Section):
    """Further data that strategies draw beside the batches of training, as streams."""

    source: DataSource = Field(
        description="a dataset plugin, or a path or URL (file, folder, glob) of parquet, arrow, csv"
    )
    format: Literal["auto", "parquet", "arrow", "csv"] = Field(
        "auto", description="file format; auto goes by the ending"
    )
    columns: dict[str, ColumnSpec] = Field(
        default_factory=dict, description="column name -> declared type; needed for file sources"
    )
    transforms: list[PluginSpec] = Field(
        default_factory=list, description="applied to each batch in this order"
    )
    streaming: Streaming = Field(
        None,
        description="true, or options: parquet or arrow files are read while training goes on, "
        "for tables larger than memory",
    )


class DataSpec(Section):
    """Where samples come from and how they are batched."""

    source: DataSource = Field(
        description="a dataset plugin, or a path or URL (file, folder, glob) of parquet, arrow, csv"
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
    streaming: Streaming = Field(
        None,
        description="true, or options: parquet or arrow files are read while training goes on, "
        "for tables larger than memory; so are held-out sources of their own",
    )
    sources: dict[str, NamedSource] = Field(
        default_factory=dict, description="further data by name, for strategies that draw from it"
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
        30.0,
        description="how long the end of a run waits for rows not yet sent; sync sends the rest",
    )


class TrainJob(JobSection):
    """A job of kind ``train``: one model, one objective, any number of strategies."""

    kind: Literal["train"] = Field("train", description="what kind of job this is")
    seed: int = Field(0, ge=0, lt=2**63, description="decides initial weights, order and noise")
    data: DataSpec
    model: ModelSpec
    objective: Objectives = Field(description="a loss, or a list whose weighted sum is minimised")
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
