"""What a job of one run names besides its values: plugins, and files by their paths."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainwright.errors import PluginError
from trainwright.federated.client_job import client_job
from trainwright.federated.spec import FederatedJob
from trainwright.federated.uses import uses as federated_uses
from trainwright.job import Job
from trainwright.job.check import Use, data_uses, uses, with_inner
from trainwright.job.models import DataSpec, TrainJob
from trainwright.job.sources import is_file_source
from trainwright.orchestration.starting import is_file
from trainwright.plugins import find
from trainwright.plugins.markers import path_options
from trainwright.plugins.resolve import absolute


def uses_of(spec: Any) -> list[Use]:
    """The plugins that a job of kind ``train``, ``federated`` or ``procedure`` names."""
    if isinstance(spec, TrainJob):
        return uses(spec)
    if isinstance(spec, FederatedJob):
        return [*uses(client_job(spec)), *federated_uses(spec)]
    of_data = [] if spec.data is None else data_uses(spec.data)
    return [Use("procedures", spec.procedure, "procedure"), *of_data]


def named_paths(job: Job[Any]) -> Iterator[tuple[str, Any]]:
    """Every path and URL of files that such a job names: its dotted path, and what stands there.

    What stands there is a text, or a list of them. Plugins that cannot be found name none.
    """
    spec, base = job.spec, job.base
    if spec.data is not None:
        for path, source, format in _sources(spec.data):
            if isinstance(source, str) and is_file_source(source, format):
                yield path, source
    for use in (inner for outer in uses_of(spec) for inner in with_inner(outer, base)):
        for option in _path_options(use, base):
            if use.spec.options.get(option) is not None:
                yield use.option_path(option), use.spec.options[option]
    model = getattr(spec, "model", None)
    if model is not None and model.weights is not None and is_file(model.weights.source, base):
        yield _place_of_weights(job), model.weights.source


def anchored_paths(job: Job[Any]) -> Iterator[tuple[str, Any]]:
    """The same with paths that mean the same from any folder."""
    for path, value in named_paths(job):
        yield path, absolute(value, job.base)


def _path_options(use: Use, base: Path) -> list[str]:
    try:
        return path_options(find(use.group, use.spec.name, base))
    except PluginError:
        return []


def _place_of_weights(job: Job[Any]) -> str:
    """Where the file of starting weights is written: the short form is the file alone."""
    written = job.document.values["model"]["weights"]
    if isinstance(written, str):
        return "model.weights"
    return f"model.weights.{'from' if 'from' in written else 'source'}"


def _sources(data: DataSpec) -> Iterator[tuple[str, Any, str]]:
    yield "data.source", data.source, data.format
    for name, held in (("validation", data.validation), ("test", data.test)):
        if held is not None:
            yield f"data.{name}.source", held.source, data.format
    for name, named in data.sources.items():
        yield f"data.sources.{name}.source", named.source, named.format
