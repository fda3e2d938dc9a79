"""What a job file of kind ``sweep`` may contain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from trainwright.durations import Duration
from trainwright.job.cluster_spec import PoolSpec
from trainwright.job.models import TrackingSpec
from trainwright.job.plugin_spec import JobSection, Section

Goal = Literal["max", "min"]


class Goals(Section):
    """A quantity that trials are judged by."""

    name: str = Field(
        min_length=1,
        description="a metric of an evaluation (validation/accuracy), or parameters, seconds, "
        "seconds_per_step, steps",
    )
    goal: Goal | None = Field(
        None, description="whether more of it is better; default: what is known of the metric"
    )
    at: Literal["last", "best"] = Field(
        "last", description="which value of a trial counts: its last one, or its best one"
    )

    @model_validator(mode="before")
    @classmethod
    def _from_bare_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


class _Named(Section):
    """A section that its name alone may stand for."""

    @model_validator(mode="before")
    @classmethod
    def _from_bare_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


class GridSpec(_Named):
    """Every combination, in order."""

    name: Literal["grid"] = "grid"


class RandomSpec(_Named):
    """Independent draws."""

    name: Literal["random"] = "random"


class TpeSpec(_Named):
    """The tree-structured Parzen estimator (Bergstra et al., 2011) of Optuna."""

    name: Literal["tpe"] = "tpe"
    startup_trials: int = Field(10, ge=0, description="trials drawn at random before it models")
    candidates: int = Field(24, gt=0, description="candidates among which the best is proposed")
    multivariate: bool = Field(True, description="model parameters jointly, also inside branches")


class AshaSpec(_Named):
    """Asynchronous successive halving (Li et al., 2018): poor trials are stopped at rungs."""

    name: Literal["asha"] = "asha"
    grace: Duration = Field(
        Duration(1, "epochs"), description="every trial gets so far; the first rung"
    )
    reduction: float = Field(
        3.0, gt=1, description="one in so many goes on at each rung; rungs are so many times apart"
    )


class MedianSpec(_Named):
    """The median rule (Golovin et al., 2017): worse than the median of the others' averages."""

    name: Literal["median"] = "median"
    grace: Duration = Field(Duration(1, "epochs"), description="every trial gets so far")
    min_trials: int = Field(3, gt=0, description="others to compare with, at least")


class PbtSpec(_Named):
    """Population based training (Jaderberg et al., 2017): trials copy better ones and vary them."""

    name: Literal["pbt"] = "pbt"
    every: Duration = Field(
        Duration(1, "epochs"),
        description="how often members are compared; they evaluate then and write checkpoints, "
        "and so often alone unless the base says training.evaluate_every or checkpoint_every. "
        "Which checkpoints stay, training.keep, does not count: those that a member may go on "
        "from",
    )
    quantile: float = Field(
        0.25, gt=0, le=0.5, description="share of the members that copy, and that are copied"
    )
    resample: float = Field(
        0.25, ge=0, le=1, description="chance to draw a value anew instead of varying it"
    )
    factors: list[Annotated[float, Field(gt=0)]] = Field(
        [0.8, 1.2], min_length=1, description="a number is varied by one of these factors"
    )


def _name_in(value: Any) -> Any:
    return value.get("name") if isinstance(value, dict) else getattr(value, "name", value)


Algorithm = Annotated[
    Annotated[GridSpec, Tag("grid")]
    | Annotated[RandomSpec, Tag("random")]
    | Annotated[TpeSpec, Tag("tpe")],
    Discriminator(_name_in),
]

Scheduler = Annotated[
    Annotated[AshaSpec, Tag("asha")]
    | Annotated[MedianSpec, Tag("median")]
    | Annotated[PbtSpec, Tag("pbt")],
    Discriminator(_name_in),
]


Metric = Annotated[
    Annotated[Goals, Tag("one")] | Annotated[list[Goals], Tag("many")],
    Discriminator(lambda value: "many" if isinstance(value, list) else "one"),
]


class TrialPool(PoolSpec):
    """The processes that run the trials of a sweep, each one after another."""

    workers: int | None = Field(
        None,
        ge=1,
        description="trials side by side; default: as many as the cluster has room for",
    )
    max_failures: int = Field(
        1,
        ge=0,
        description="how often a trial that failed, or whose process was lost, is tried again",
    )


def _leaves(section: Mapping[str, Any], outer: str = "") -> Iterator[tuple[str, Any]]:
    """Path and value of all single values, lists, and plugins with their options."""
    for key, value in section.items():
        if isinstance(value, Mapping) and value and "name" not in value:
            yield from _leaves(value, f"{outer}{key}.")
        else:
            yield f"{outer}{key}", value


class SweepJob(JobSection):
    """A job of kind ``sweep``: trials of one job over a space of its values."""

    kind: Literal["sweep"] = Field("sweep", description="what kind of job this is")
    base: dict[str, Any] = Field(
        description="the job that is tried, or the path of its file; its name, storage and "
        "tracking do not count: the sweep has its own"
    )
    space: dict[str, Any] = Field(
        min_length=1,
        description="dotted path in the base -> what is tried there: choice, uniform, loguniform, "
        "quantised, int, logint, normal, grid, or a fixed value",
    )
    constraints: list[str] = Field(
        default_factory=list,
        description="what must hold of the values of a trial: model.width * model.depth <= 512",
    )
    transfer: dict[str, Any] = Field(
        default_factory=dict,
        description="what makes of the best trial the job to run in the end: model.hidden: "
        "[512, 512], where its learning rate does as well under the strategy mup; dotted paths or "
        "sections; a plugin with its name replaces the base's. That job is checked before the "
        "sweep starts, and written as transferred.yaml beside best.yaml",
    )
    metric: Metric | None = Field(
        None,
        description="what trials are judged by, with its goal; several: the Pareto front is "
        "sought; default: the metric that the base monitors",
    )
    trials: int | None = Field(
        None,
        gt=0,
        description="how many trials, for each combination of grid values; default: the whole "
        "grid, or 20",
    )
    algorithm: Algorithm = Field(
        default_factory=RandomSpec, description="what proposes trials: grid, random, tpe"
    )
    scheduler: Scheduler | None = Field(
        None, description="what ends or changes trials on their way: asha, median, pbt"
    )
    seed: int = Field(0, ge=0, lt=2**63, description="of the draws; a trial's is the base's")
    cluster: TrialPool = Field(default_factory=TrialPool, description="where the trials run")
    storage: str = Field(
        "runs", min_length=1, description="folder or fsspec URL under which runs are kept"
    )
    tracking: TrackingSpec = Field(default_factory=TrackingSpec)

    @field_validator("metric", mode="after")
    @classmethod
    def _not_empty(cls, value: Any) -> Any:
        if isinstance(value, list) and not value:
            raise ValueError("names no metric; leave it out for the one that the base monitors")
        return value

    @property
    def transfers(self) -> dict[str, Any]:
        """Dotted path in the base -> value, of what ``transfer`` changes."""
        return dict(_leaves(self.transfer))

    @property
    def goals(self) -> list[Goals]:
        """The metrics as a list; empty where none is named."""
        if self.metric is None:
            return []
        return self.metric if isinstance(self.metric, list) else [self.metric]
