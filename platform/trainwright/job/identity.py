"""The name of a run: a label and a hash of what determines its numbers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from trainwright.durations import Duration
from trainwright.errors import PluginError
from trainwright.job.load import Job
from trainwright.job.models import (
    DataSource,
    DataSpec,
    HeldOut,
    NamedSource,
    PluginSpec,
)
from trainwright.job.plugin_spec import Section, WeightsSpec
from trainwright.job.sources import is_file_source, name_of

HASH_DIGITS = 8

SECTIONS: dict[str, str | None] = {
    "data": None,
    "model": "models",
    "objective": "objectives",
    "strategies": "strategies",
    "optimizer": "optimizers",
    "schedule": "schedules",
    "training": None,
    "seed": None,
    "metrics": "metrics",
    "engine": None,
    "deepspeed": None,
}
"""Parts of a job that enter the name -> the group of their plugins. ``metrics`` do because
stopping early and the choice of the best checkpoint depend on them."""


def run_name(
    job: Job[Any],
    *,
    data_fingerprint: str,
    plugin_files: Mapping[str, bytes],
    further: Mapping[str, Any] | None = None,
    sections: Mapping[str, str | None] = SECTIONS,
) -> str:
    """The name under which a job's run is kept and found again.

    Left out are: where it runs, where its results go, how the file is written (order of keys,
    comments, ``extends``, short forms), values that equal their defaults, and the paths of data
    files, for which the fingerprint stands.

    Args:
        job: the job.
        data_fingerprint: identifies the content of all data sources.
        plugin_files: the user's plugin files, relative path -> content.
        further: identifies what else determines the numbers: starting weights, earlier runs.
        sections: parts of the job that determine the numbers -> the group of their plugins.

    Returns:
        ``<job's name>-<8 hexadecimal digits>``.
    """
    identity = {
        **essentials(job, sections),
        "data_fingerprint": data_fingerprint,
        "plugin_files": {
            name: hashlib.sha256(content).hexdigest() for name, content in plugin_files.items()
        },
        **(further or {}),
    }
    digest = hashlib.sha256(canonical(identity).encode()).hexdigest()
    return f"{job.spec.name}-{digest[:HASH_DIGITS]}"


def essentials(job: Job[Any], sections: Mapping[str, str | None] = SECTIONS) -> dict[str, Any]:
    """What of a job determines its numbers, as plain values without defaults."""
    reduction = _Reduction(job)
    form = type(job.spec)
    required = [name for name, field in form.model_fields.items() if field.is_required()]
    default = form.model_construct(**dict.fromkeys(required))
    found = {}
    for section, group in sections.items():
        value = reduction(_normal(section, getattr(job.spec, section)), group)
        if value != reduction(_normal(section, getattr(default, section)), group):
            found[section] = value
    return found


def canonical(value: Any) -> str:
    """Plain values as text: keys sorted, whole numbers alike whether written 1 or 1.0."""
    return json.dumps(_numbers(value), sort_keys=True, separators=(",", ":"))


def _numbers(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _numbers(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_numbers(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _normal(section: str, value: Any) -> Any:
    return value if section != "objective" or isinstance(value, list) else [value]


class _Reduction:
    """Turns parts of a job into plain values without what is left out of the name."""

    def __init__(self, job: Job[Any]) -> None:
        self.base = job.base
        data = job.spec.data
        self.format = "auto" if data is None else data.format  # of held-out sources too

    def __call__(self, value: Any, group: str | None) -> Any:
        if isinstance(value, PluginSpec):
            return self._plugin(value, group)
        if isinstance(value, BaseModel):
            return self._section(value)
        if isinstance(value, Duration):
            return str(value)
        if isinstance(value, (list, tuple)):
            return [self(item, group) for item in value]
        if isinstance(value, Mapping):
            return {key: self(item, group) for key, item in value.items()}
        return value

    def _section(self, section: BaseModel) -> dict[str, Any]:
        """The fields that differ from their defaults."""
        left_out = section.WITHOUT_EFFECT if isinstance(section, Section) else ()
        found: dict[str, Any] = {}
        for name, field in type(section).model_fields.items():
            if name in left_out:
                continue
            group = _GROUPS.get((type(section).__name__, name))
            value = self(getattr(section, name), group)
            default = field.get_default(call_default_factory=True)
            if field.is_required() or value != self(default, group):
                found[name] = value
        if isinstance(section, WeightsSpec):
            del found["source"]  # the fingerprint says it all
        if isinstance(section, (DataSpec, HeldOut, NamedSource)) and section.source is not None:
            format = self.format if isinstance(section, HeldOut) else section.format
            found["source"] = self._source(section.source, format)
        return found

    def _source(self, source: DataSource, format: str) -> Any:
        """A dataset plugin in its long form; None for files, whose fingerprint says it all."""
        if is_file_source(name_of(source), format):
            return None
        return self(PluginSpec(name=source) if isinstance(source, str) else source, "datasets")

    def _plugin(self, spec: PluginSpec, group: str | None) -> dict[str, Any]:
        """Name, differing fields, and the options that differ from the constructor's defaults."""
        fields = {**self._section(spec), "name": spec.name}
        defaults = self._defaults(spec.name, group) if group else {}
        places = self._places(spec.name) if group == "datasets" else []
        options = {
            name: value
            for name, value in spec.options.items()
            if name not in places and (name not in defaults or canonical(value) != defaults[name])
        }
        return {**fields, "options": options} if options else fields

    def _places(self, name: str) -> list[str]:
        """The options that say where a dataset's files lie, for which the fingerprint stands."""
        from trainwright.plugins import find
        from trainwright.plugins.markers import path_options

        try:
            return path_options(find("datasets", name, self.base))
        except PluginError:
            return []

    def _defaults(self, name: str, group: str) -> dict[str, str]:
        """The constructor's defaults that a job could also write, in canonical form."""
        from trainwright.plugins import find
        from trainwright.plugins.signature import parameters_of

        try:
            parameters = parameters_of(find(group, name, self.base).factory)
        except PluginError:  # a plugin that cannot be found has no defaults to leave out
            return {}
        found = {}
        for parameter in parameters:
            try:
                found[parameter.name] = canonical(parameter.default)
            except TypeError:  # no plain value, or no default at all
                continue
        return found


_GROUPS = {
    ("DataSpec", "transforms"): "transforms",
    ("NamedSource", "transforms"): "transforms",
    ("FederationSpec", "aggregator"): "aggregators",
    ("FederationSpec", "partition"): "partitioners",
    ("FederationSpec", "update_transforms"): "update_transforms",
}
"""(section, key) -> the group of the plugins there."""
