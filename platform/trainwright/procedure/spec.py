"""What a job file of kind ``procedure`` may contain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from trainwright.job.cluster_spec import Processes
from trainwright.job.models import DataSpec, TrackingSpec
from trainwright.job.plugin_spec import JobSection, PluginSpec


class TaskCluster(Processes):
    """The processes that work on the items of ``context.map``."""

    workers: int = Field(
        0,
        ge=0,
        description="items of map that are worked on side by side, on Ray; 0: one after another "
        "in this process",
    )
    max_failures: int = Field(
        2, ge=0, description="how many times an item is tried again whose process was lost"
    )


def _name_or_job(value: Any) -> str:
    return "job" if isinstance(value, Mapping) else "name"


RunSource = Annotated[
    Annotated[str, Tag("name")] | Annotated[dict[str, Any], Tag("job")],
    Discriminator(_name_or_job),
]


class ProcedureJob(JobSection):
    """A job of kind ``procedure``: a method that does not train one model by steps."""

    kind: Literal["procedure"] = Field("procedure", description="what kind of job this is")
    seed: int = Field(0, ge=0, lt=2**63, description="decides all random numbers")
    procedure: PluginSpec = Field(description="what is done, with its options")
    data: DataSpec | None = Field(None, description="samples, if the procedure needs any itself")
    runs: dict[str, RunSource] = Field(
        default_factory=dict,
        description="name -> earlier run under the same storage, RUN[@best|last|STEP], or a "
        "training job, whose run is trained first",
    )
    cluster: TaskCluster = Field(default_factory=TaskCluster)
    storage: str = Field(
        "runs", min_length=1, description="folder or fsspec URL under which runs are kept"
    )
    tracking: TrackingSpec = Field(default_factory=TrackingSpec)

    @property
    def named_runs(self) -> dict[str, str]:
        """The runs that are there already, as they are named."""
        return {name: source for name, source in self.runs.items() if isinstance(source, str)}

    @property
    def own_runs(self) -> dict[str, dict[str, Any]]:
        """The training jobs whose runs go before the procedure."""
        return {name: source for name, source in self.runs.items() if isinstance(source, dict)}
