"""Finding plugins by name and making their objects."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from trainwright.errors import PluginError, Problem
from trainwright.plugins.builtin import BuiltIn, built_in, built_ins
from trainwright.plugins.entries import declared, load_declared, origin_of
from trainwright.plugins.groups import GROUPS, BrokenPlugin, Plugin
from trainwright.plugins.options import check_options, construct
from trainwright.plugins.paths import is_path, load_path
from trainwright.suggest import nearest, one_of


def find(group: str, name: str, base: Path | None = None, *, path: str = "") -> Plugin:
    """The plugin of that name.

    Args:
        group: one of :data:`~trainwright.plugins.GROUPS`.
        name: a short name from ``trainwright list``, an import path (``package.module.Name`` or
            ``package.module:Name``, modules beside the job first), or ``file.py:Name``.
        base: folder of the job file; the current folder when left out.
        path: dotted path of the name in the job, for messages.

    Raises:
        PluginError: there is no such plugin, it cannot be imported, or cannot serve in the group.
    """
    check_group(group)
    try:
        if is_path(name):
            return load_path(group, name, (base or Path.cwd()).resolve(), path)
        plugin = load_declared(group, name, path)
        if plugin is not None:
            return plugin
        item = built_in(group, name)
        if item is not None:
            return _from_library(group, item, name)
    except PluginError as error:
        placed = [item if item.path else replace(item, path=path) for item in error.problems]
        raise PluginError(placed) from error.__cause__
    raise PluginError(_unknown(group, name, path))


def create(group: str, name: str, /, base: Path | None = None, **options: Any) -> Any:
    """Make the object of the plugin ``name``, its options checked.

    An optimizer plugin gives a function of the parameters, since the weights are no option;
    every other gives the object itself.

    Raises:
        PluginError: no such plugin, or its options are wrong.

    Example:
        >>> create("objectives", "cross_entropy", label_smoothing=0.1)
        CrossEntropyLoss()
    """
    plugin = find(group, name, base)
    values, problems = check_options(plugin, options, "")
    if problems:
        raise PluginError(problems)
    if group == "optimizers":
        return partial(plugin.factory, **values)
    return construct(plugin, values)


def available(group: str) -> list[Plugin | BrokenPlugin]:
    """Every plugin of a group that has a short name, imported; sorted by name.

    One that cannot be imported is reported with its cause and does not disturb the others.

    Raises:
        PluginError: there is no such group.
    """
    found: list[Plugin | BrokenPlugin] = []
    for name in short_names(group):
        try:
            found.append(find(group, name))
        except PluginError as error:
            found.append(BrokenPlugin(name, group, _origin(group, name), error.problems[0].message))
    return found


def short_names(group: str) -> list[str]:
    """The short names of a group, sorted, without importing any plugin.

    Raises:
        PluginError: there is no such group.
    """
    check_group(group)
    listed = {name for name, item in built_ins(group).items() if item.listed}
    return sorted(listed | set(declared(group)))


def check_group(group: str) -> None:
    """Refuse a name that is no group of plugins.

    Raises:
        PluginError: there is no such group.
    """
    if group not in GROUPS:
        message = f"there is no group of plugins named {group!r}"
        raise PluginError(
            Problem("", message, group, allowed=one_of(GROUPS), nearest=nearest(group, GROUPS))
        )


def _origin(group: str, name: str) -> str:
    points = declared(group).get(name)
    return origin_of(points[0]) if points else built_ins(group)[name].origin


def _from_library(group: str, item: BuiltIn, name: str) -> Plugin:
    try:
        factory = item.load(group)
    except ImportError as error:
        message = f"{item.module}.{item.attribute} cannot be imported: {error}"
        raise PluginError(Problem("", message)) from error
    aliases = tuple(other for other in (item.name, item.attribute) if other != name)
    return Plugin(name, group, factory, item.origin, aliases=aliases)


def _unknown(group: str, name: str, path: str) -> Problem:
    names = short_names(group)
    classes = [item.attribute for item in built_ins(group).values()]
    elsewhere = [other for other in GROUPS if other != group and name in short_names(other)]
    mend = "an import path (package.module.Name) or a file beside the job (file.py:Name) works too"
    if elsewhere:
        mend = f"{name!r} belongs to {' and '.join(elsewhere)}"
    return Problem(
        path,
        f"there is no plugin {name!r} in {group}",
        name,
        allowed=one_of(names) or None,
        nearest=nearest(name, [*names, *classes]),
        mend=mend,
    )
