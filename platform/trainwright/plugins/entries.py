"""Plugins that installed distributions declare as entry points ``trainwright.<group>``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from trainwright.errors import PluginError, Problem
from trainwright.plugins.adapters import adapt
from trainwright.plugins.causes import guarded, import_cause
from trainwright.plugins.groups import Plugin


def declared(group: str) -> Mapping[str, Sequence[EntryPoint]]:
    """Short name -> the entry points of that name; more than one means that two packages clash."""
    return _declared_on(tuple(sys.path), group)


@cache
def _declared_on(search: tuple[str, ...], group: str) -> dict[str, list[EntryPoint]]:
    """Reading the metadata of all distributions takes tens of milliseconds: once per path."""
    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=f"trainwright.{group}"):
        same = found.setdefault(point.name, [])
        if all(point.value != other.value for other in same):
            same.append(point)
    return found


@cache
def origin_of(point: EntryPoint) -> str:
    """The package and the version of the distribution that declares an entry point."""
    # The version is read from a file at every access.
    package = point.module.partition(".")[0]
    return f"{package} {point.dist.version}" if point.dist else package


def load_declared(group: str, name: str, path: str) -> Plugin | None:
    """The declared plugin of that short name, imported; None if no distribution declares it.

    Raises:
        PluginError: it cannot be imported, or two distributions declare the name.
    """
    points = declared(group).get(name, [])
    if not points:
        return None
    if len(points) > 1:
        owners = " and ".join(f"{origin_of(point)} ({point.value})" for point in points)
        message = f"the name {name!r} is taken twice: {owners}"
        raise PluginError(Problem(path, message, name, mend="use an import path instead"))
    point, found = points[0], list[Any]()
    error = guarded(lambda: found.append(point.load()))
    if error is not None:
        message = f"the plugin {name!r} of {origin_of(point)} cannot be imported: "
        raise PluginError(Problem(path, message + import_cause(error))) from error
    return Plugin(name, group, adapt(group, found[0]), origin_of(point))
