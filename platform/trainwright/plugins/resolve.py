"""Checked options made ready for a constructor: paths absolute, nested plugins as functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from trainwright.errors import PluginError
from trainwright.job.plugin_spec import PluginSpec
from trainwright.plugins.groups import Plugin
from trainwright.plugins.markers import nested_options, path_options
from trainwright.plugins.options import check_options, construct
from trainwright.plugins.registry import find

Spec = TypeVar("Spec", bound=PluginSpec)


@dataclass(frozen=True)
class Site:
    """Where a plugin stands.

    Attributes:
        base: folder of the job file.
        path: dotted path of the plugin in the job, for messages.
        facts: name of a nested option -> values from the data for the options of its plugin.
    """

    base: Path
    path: str
    facts: Callable[[str], Mapping[str, Any]] = lambda _: {}


def resolved(plugin: Plugin, values: Mapping[str, Any], site: Site) -> dict[str, Any]:
    """The keyword arguments of the constructor from options that were checked."""
    ready = dict(values)
    for name in path_options(plugin):
        if name in ready:
            ready[name] = absolute(ready[name], site.base)
    for name, group in nested_options(plugin).items():
        value, path = ready.get(name), f"{site.path}.{name}"
        facts = site.facts(name)
        if isinstance(value, PluginSpec):
            ready[name] = _maker(group, value, Site(site.base, path, site.facts), facts)
        elif isinstance(value, list):
            ready[name] = [
                _maker(group, item, Site(site.base, f"{path}.{index}", site.facts), facts)
                for index, item in enumerate(value)
            ]
    return ready


def _maker(
    group: str, spec: PluginSpec, site: Site, facts: Mapping[str, Any]
) -> Callable[..., Any]:
    def make(**known: Any) -> Any:
        plugin = find(group, spec.name, site.base, path=f"{site.path}.name")
        values, problems = check_options(plugin, spec.options, site.path, {**facts, **known})
        if problems:
            raise PluginError(problems)
        return construct(plugin, resolved(plugin, values, site), site.path)

    return make


def absolute(value: Any, base: Path) -> Any:
    """A path, or each of a list, as one that means the same file from any folder."""
    if isinstance(value, (list, tuple)):
        return [absolute(item, base) for item in value]
    if not isinstance(value, str) or "://" in value or "::" in value:
        return value
    return str(base / Path(value).expanduser())


def nested_specs(group: str, spec: PluginSpec, base: Path) -> Iterator[tuple[str, str, PluginSpec]]:
    """(option, group, spec) of each plugin named inside another, ``option`` with its index.

    Entries that are none, and those of a plugin that cannot be found, are left out: checking the
    options of the plugin around them tells the mistake.
    """
    try:
        options = nested_options(find(group, spec.name, base))
    except PluginError:
        return
    for name, inner in options.items():
        value = spec.options.get(name)
        entries = (
            [(f"{name}.{index}", item) for index, item in enumerate(value)]
            if isinstance(value, list)
            else [(name, value)]
        )
        for place, entry in entries:
            try:
                yield place, inner, PluginSpec.model_validate(entry)
            except ValidationError:
                continue


def anchored_spec(group: str, spec: Spec, base: Path) -> Spec:
    """A plugin of a job with the paths in its options, and in those of nested plugins, absolute."""
    plugin = find(group, spec.name, base)
    options = dict(spec.options)
    for name in path_options(plugin):
        if name in options:
            options[name] = absolute(options[name], base)
    for name, inner in nested_options(plugin).items():
        value = options.get(name)
        if isinstance(value, list):
            options[name] = [_anchored_entry(inner, item, base) for item in value]
        elif value is not None:
            options[name] = _anchored_entry(inner, value, base)
    if options == spec.options:
        return spec
    fields = {name: getattr(spec, name) for name in type(spec).model_fields}
    return type(spec).model_validate({**fields, "options": options})


def _anchored_entry(group: str, entry: Any, base: Path) -> Any:
    spec = PluginSpec.model_validate(entry)
    anchored = anchored_spec(group, spec, base)
    return entry if anchored is spec else {"name": spec.name, "options": anchored.options}
