"""Plugins of a job as objects, with what they refuse told at its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from trainwright.errors import PluginError
from trainwright.job.check import culprit
from trainwright.job.models import PluginSpec
from trainwright.plugins import Plugin, check_options, construct, find
from trainwright.plugins.resolve import Site, resolved


def build_plugin(
    group: str,
    spec: PluginSpec,
    base: Path,
    path: str,
    derived: Mapping[str, Any] | None = None,
    nested: Callable[[str], Mapping[str, Any]] | None = None,
) -> Any:
    """Find, check and construct one plugin of a job.

    Args:
        group: kind of plugin.
        spec: name and options.
        base: folder of the job file.
        path: dotted path in the job, for messages.
        derived: what the data answers.
        nested: what it answers for the plugin inside this one that an option names; default: the
            same.

    Raises:
        PluginError: unknown, or its options are wrong.
    """
    plugin = find(group, spec.name, base, path=f"{path}.name")
    options, problems = check_options(plugin, spec.options, path, derived or {})
    if problems:
        raise PluginError(problems)
    site = Site(base, path, nested or (lambda _: derived or {}))
    options = resolved(plugin, options, site)
    try:
        return construct(plugin, options, path)
    except PluginError as error:
        raise _blaming(error, plugin, spec, options) from error


def _blaming(
    error: PluginError, plugin: Plugin, spec: PluginSpec, options: Mapping[str, Any]
) -> PluginError:
    """The refusal of a constructor, at the one option of the job that it is about."""
    written = {name: value for name, value in options.items() if name in spec.options}
    given = {name: value for name, value in options.items() if name not in spec.options}
    blamed = culprit(partial(plugin.factory, **given), written)
    if blamed is None:
        return error
    return PluginError(
        [replace(p, path=f"{p.path}.{blamed}", got=spec.options[blamed]) for p in error.problems]
    )
