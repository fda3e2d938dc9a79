"""Relative paths in a job, made absolute before it leaves the folder of its file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from typing_extensions import Self

from trainwright.job.models import DataSpec, HeldOut, ModelSpec, NamedSource, PluginSpec
from trainwright.job.sources import is_file_source
from trainwright.plugins.resolve import absolute, anchored_spec


class WithDataAndModel(Protocol):
    """A job that trains."""

    @property
    def data(self) -> DataSpec:
        """Its data section."""
        ...

    @property
    def model(self) -> ModelSpec:
        """Its model."""
        ...

    def model_copy(self, *, update: Mapping[str, Any]) -> Self:
        """A copy with other values."""
        ...


SpecT = TypeVar("SpecT", bound=WithDataAndModel)


def anchored(spec: SpecT, base: Path) -> SpecT:
    """A job's values with paths of data and models that mean the same from any folder."""
    data = anchored_data(spec.data, base)
    model = anchored_spec("models", spec.model, base)
    return spec.model_copy(update={"data": data, "model": model})


def anchored_data(data: DataSpec, base: Path) -> DataSpec:
    """A data section with paths that mean the same from any folder."""
    changes: dict[str, object] = {"source": _anchored(data.source, data, base)}
    for name in ("validation", "test"):
        held: HeldOut | None = getattr(data, name)
        if held is not None and held.source is not None:
            source = _anchored(held.source, data, base)
            changes[name] = held.model_copy(update={"source": source})
    changes["sources"] = {
        name: named.model_copy(update={"source": _anchored(named.source, named, base)})
        for name, named in data.sources.items()
    }
    return data.model_copy(update=changes)


def _anchored(
    source: str | PluginSpec, data: DataSpec | NamedSource, base: Path
) -> str | PluginSpec:
    if isinstance(source, PluginSpec):
        return anchored_spec("datasets", source, base)
    if not is_file_source(source, data.format):
        return source
    return str(absolute(source, base))
