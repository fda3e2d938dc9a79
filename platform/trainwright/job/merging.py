"""``extends``: one job file on top of another."""

from __future__ import annotations

import os.path
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainwright.errors import JobError, Location, Problem
from trainwright.job.shorthand import is_plugin, written_out
from trainwright.job.yaml_reader import Parsed, read_file, read_yaml

EXTENDS = "extends"
BASE = "base"
"""The key under which jobs of some kinds hold, or name, another job."""


def read_with_extends(text: str, file: str, chain: tuple[str, ...] = ()) -> Parsed:
    """A job file merged onto the file that it extends, and that onto the one it extends.

    Mappings are merged key by key; lists and single values replace what they stand for, and a
    plugin of another name replaces the plugin with its options. Every value keeps the place
    where it was written. Plugin files and data of an extended job are looked for beside the job
    that is run, not beside the file that names them.

    Args:
        text: content of the file.
        file: its path; what it extends is relative to its folder.
        chain: the files that led here, for the detection of cycles.

    Raises:
        JobError: one of the files is missing or no job file, or they extend one another in a
            circle.
    """
    return _resolved(read_yaml(text, file), file, chain)


def _resolved(parsed: Parsed, file: str, chain: tuple[str, ...], at: str = "") -> Parsed:
    """``parsed``, which stands at the path ``at`` of ``file``, on top of what it extends."""
    parsed = _with_base(parsed, file, chain)
    if EXTENDS not in parsed.values:
        return parsed
    location = parsed.locations[EXTENDS]
    name = parsed.values[EXTENDS]
    path = f"{at}.{EXTENDS}" if at else EXTENDS
    if not isinstance(name, str) or not name:
        raise JobError(Problem(path, "names no file", name, allowed="a path", location=location))
    target = os.path.normpath(os.path.join(os.path.dirname(file), name))
    files = (*chain, file)
    if _same(target, files):
        circle = " -> ".join((*files, target))
        message = f"the files extend one another in a circle: {circle}"
        raise JobError(Problem(path, message, name, location=location))
    below = read_with_extends(read_file(Path(target), location), target, files)
    return merged(below, _without_extends(parsed))


def _with_base(parsed: Parsed, file: str, chain: tuple[str, ...]) -> Parsed:
    """``parsed`` with the job that it names as its ``base``, or that its base extends, read in."""
    base = parsed.values.get(BASE)
    if not _may_have_base(parsed.values):
        return parsed
    if isinstance(base, str) and base:
        inner = Parsed(
            {EXTENDS: base}, {"": parsed.locations[BASE], EXTENDS: parsed.locations[BASE]}
        )
    elif isinstance(base, dict) and EXTENDS in base:
        inner = inside(parsed, BASE)
    else:
        return parsed
    whole = _resolved(inner, file, chain, BASE)
    outer = {p: at for p, at in parsed.locations.items() if not _within(p, BASE)}
    places = {f"{BASE}.{path}": at for path, at in whole.locations.items() if path}
    places[BASE] = parsed.locations[BASE]
    return Parsed({**parsed.values, BASE: whole.values}, {**outer, **places})


def _may_have_base(values: Mapping[str, Any]) -> bool:
    """Whether it can be of a kind that has a base; a file that extends another need not say it."""
    kind = values.get("kind")
    return kind not in (None, "train") or (kind is None and EXTENDS in values)


def inside(parsed: Parsed, path: str) -> Parsed:
    """The mapping at a dotted path, as if it were a file of its own."""
    values: Any = parsed.values
    for key in path.split("."):
        values = values[key]
    return Parsed(values, places_inside(parsed.locations, path))


def places_inside(locations: dict[str, Location], path: str) -> dict[str, Location]:
    """The places of what stands at a dotted path, as if it were a file of its own."""
    places = {"": nearest_location(locations, path)}
    for inner, location in locations.items():
        if inner.startswith(f"{path}."):
            places[inner.removeprefix(f"{path}.")] = location
    return places


def _within(path: str, outer: str) -> bool:
    return path == outer or path.startswith(f"{outer}.")


def _same(target: str, files: tuple[str, ...]) -> bool:
    return os.path.realpath(target) in {os.path.realpath(file) for file in files}


def _without_extends(parsed: Parsed) -> Parsed:
    values = {key: value for key, value in parsed.values.items() if key != EXTENDS}
    return Parsed(values, {p: at for p, at in parsed.locations.items() if p != EXTENDS})


def merged(below: Parsed, above: Parsed) -> Parsed:
    """``above`` on top of ``below``, every value with the place where it was written."""
    merge = _Merge()
    values = merge(below.values, above.values, "")
    locations = {
        path: location for path, location in below.locations.items() if not merge.covers(path)
    }
    for path in merge.written_out:
        locations[path] = nearest_location(below.locations, path)
    return Parsed(values, {**locations, **above.locations})


def nearest_location(locations: dict[str, Location], path: str) -> Location:
    """The place of ``path``, or of the innermost section around it that has one."""
    while path and path not in locations:
        path = path.rpartition(".")[0]
    return locations[path]


@dataclass
class _Merge:
    """Merges mappings; remembers which old values are gone and which short forms it wrote out."""

    replaced: list[str] = field(default_factory=list)
    written_out: list[str] = field(default_factory=list)

    def __call__(self, below: Any, above: Any, path: str) -> Any:
        long = written_out(path, below)
        if not isinstance(long, dict) or not isinstance(above, dict) or _other(long, above, path):
            self.replaced.append(path)
            return above
        if long is not below:
            self.written_out += [f"{path}.{key}" for key in long if key not in above]
        merged = dict(long)
        for key, value in above.items():
            inner = f"{path}.{key}" if path else key
            merged[key] = self(merged[key], value, inner) if key in merged else value
        return merged

    def covers(self, path: str) -> bool:
        """Whether the old value at ``path`` is gone."""
        return any(path == gone or path.startswith(f"{gone}.") for gone in self.replaced)


def _other(below: dict[str, Any], above: dict[str, Any], path: str) -> bool:
    """Whether ``above`` names another plugin, whose options those of ``below`` cannot be."""
    return is_plugin(path) and above.get("name", below.get("name")) != below.get("name")
