"""How a job names a plugin, with its options."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Section(BaseModel):
    """A part of a job file: immutable, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    WITHOUT_EFFECT: ClassVar[tuple[str, ...]] = ()
    """Keys that change no number, and so do not enter the name of a run."""


def from_switch(value: Any) -> Any:
    """``true`` stands for a section's defaults, ``false`` for none."""
    return {True: {}, False: None}[value] if isinstance(value, bool) else value


class JobSection(Section):
    """The whole of a job file; one subclass for each kind of job."""

    version: Annotated[int, Field(ge=1, le=1)] = Field(
        1, description="version of the job file's form"
    )
    kind: str = Field("train", description="what kind of job this is")
    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$",
        description="label; first part of the run name",
    )


class PluginSpec(BaseModel):
    """A plugin by name with its options; a bare string is the name alone.

    ``name`` is a short name from ``trainwright list``, an import path (``package.module.Class``)
    or a file beside the job (``losses.py:MyLoss``). Every key that is not listed here is an
    option of the plugin and is checked against its constructor. An option whose name is also a
    key of the job (the ``weight`` of a torch loss, say) goes under ``options``.
    """

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

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


class WeightsSpec(Section):
    """Where a model's weights come from before training."""

    source: str = Field(
        alias="from",
        min_length=1,
        description="safetensors file, folder or URL of such files, or RUN[@best|last|STEP]",
    )
    skip: list[str] = Field(
        default_factory=list,
        description="patterns of names that stay as the model makes them, e.g. head.*",
    )

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True
    )

    @model_validator(mode="before")
    @classmethod
    def _from_source_alone(cls, value: Any) -> Any:
        return {"from": value} if isinstance(value, str) else value


class ModelSpec(PluginSpec):
    """The model to train."""

    inputs: dict[str, str] = Field(
        default_factory=dict,
        description="argument of the model's forward -> batch column, where names differ",
    )
    outputs: list[str] | None = Field(
        None, description="names of the outputs of a model that returns a tensor or a tuple"
    )
    weights: WeightsSpec | None = Field(
        None, description="starting weights; default: the model's own initialisation"
    )


class MetricSpec(PluginSpec):
    """A metric computed at each evaluation."""

    bind: dict[str, str] = Field(
        default_factory=dict,
        description="argument of the metric's update -> model output or batch column",
    )
