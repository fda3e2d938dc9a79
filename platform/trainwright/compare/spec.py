"""What a job file of kind ``compare`` may contain."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator

from trainwright.job.cluster_spec import PoolSpec
from trainwright.job.models import TrackingSpec
from trainwright.job.plugin_spec import JobSection

MOST_SEEDS = 10_000
"""Far more than anybody trains, and few enough to be listed."""

Seed = Annotated[int, Field(ge=0, lt=2**63)]


def _one_or_many(value: Any) -> str:
    return "many" if isinstance(value, (list, tuple)) else "one"


Seeds = Annotated[
    Annotated[int, Field(gt=0, le=MOST_SEEDS), Tag("one")]
    | Annotated[list[Seed], Field(min_length=1), Tag("many")],
    Discriminator(_one_or_many),
]


class CompareJob(JobSection):
    """A job of kind ``compare``: variants of one job over several seeds."""

    kind: Literal["compare"] = Field("compare", description="what kind of job this is")
    base: dict[str, Any] = Field(
        description="the job that all variants share, or the path of its file; its name, seed, "
        "storage and tracking do not count: the comparison has its own"
    )
    variants: dict[str, dict[str, Any]] = Field(
        min_length=2,
        description="name -> what the variant changes in the base: sections, or dotted paths",
    )
    baseline: str = Field("baseline", description="the variant that others are compared with")
    methods: list[str] | None = Field(
        None,
        description="variants that --placebo replaces by the baseline; default: all others",
    )
    seeds: Seeds = Field(5, description="how many seeds (from 0), or which")
    split_by_seed: bool = Field(
        False, description="each seed also holds out other samples for validation and test"
    )
    draw_by_seed: bool = Field(
        False,
        description="each seed also draws other data: it is option seed of data.source, and of the "
        "sources of validation and test",
    )
    expect: list[str] = Field(
        default_factory=list, description="what must hold; decides the exit status"
    )
    report: list[str] = Field(
        default_factory=list,
        description="quantities of the table; default: those of expect, and the job's metrics",
    )
    cluster: PoolSpec = Field(default_factory=PoolSpec, description="where the runs are trained")
    storage: str = Field(
        "runs", min_length=1, description="folder or fsspec URL under which runs are kept"
    )
    tracking: TrackingSpec = Field(default_factory=TrackingSpec)

    @field_validator("variants", mode="before")
    @classmethod
    def _empty_variants(cls, value: Any) -> Any:
        """A variant that changes nothing may be written without braces."""
        if not isinstance(value, dict):
            return value
        return {name: {} if changes is None else changes for name, changes in value.items()}

    @property
    def seed_list(self) -> list[int]:
        """The seeds, in order."""
        return self.seeds if isinstance(self.seeds, list) else list(range(self.seeds))

    @property
    def method_names(self) -> list[str]:
        """The variants that a placebo replaces."""
        if self.methods is not None:
            return self.methods
        return [name for name in self.variants if name != self.baseline]
