"""``extends``: one job file on top of another."""

from __future__ import annotations

import os.path
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainwright.errors import JobError, Location, Problem
from trainwright.job.shorthand import is_plugin, written_out
from trainwright.job.yaml_reader import Parsed, read_file, read_yaml

EXTENDS = "extends"


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
    parsed = read_yaml(text, file)
    if EXTENDS not in parsed.values:
        return parsed
    location = parsed.locations[EXTENDS]
    name = parsed.values[EXTENDS]
    if not isinstance(name, str) or not name:
        raise JobError(Problem(EXTENDS, "names no file", name, allowed="a path", location=location))
    target = os.path.normpath(os.path.join(os.path.dirname(file), name))
    files = (*chain, file)
    if _same(target, files):
        circle = " -> ".join((*files, target))
        message = f"the files extend one another in a circle: {circle}"
        raise JobError(Problem(EXTENDS, message, name, location=location))
    below = read_with_extends(read_file(Path(target), location), target, files)
    return _merged(below, _without_extends(parsed))


def _same(target: str, files: tuple[str, ...]) -> bool:
    return os.path.realpath(target) in {os.path.realpath(file) for file in files}


def _without_extends(parsed: Parsed) -> Parsed:
    values = {key: value for key, value in parsed.values.items() if key != EXTENDS}
    return Parsed(values, {p: at for p, at in parsed.locations.items() if p != EXTENDS})


def _merged(below: Parsed, above: Parsed) -> Parsed:
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
