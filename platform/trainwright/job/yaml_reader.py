"""Job files as text: YAML 1.2 core values together with the line of every key and item."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from trainwright.errors import JobError, Location, Problem
from trainwright.job.yaml_core import CORE, CORE_SCHEMA
from trainwright.job.yaml_errors import yaml_problem
from trainwright.suggest import nearest, one_of

LARGEST_FILE = 1_000_000
"""Bytes; far more than any job, far less than a data file named by mistake."""

MOST_VALUES = 50_000
"""Values in one file, with every alias counted as often as it is used."""


@dataclass(frozen=True)
class Parsed:
    """A mapping with the places where its values were written.

    Attributes:
        values: plain dictionaries, lists, texts, numbers, truth values and None.
        locations: dotted path -> place of the key or of the list item; the path of the whole
            mapping is the empty text.
    """

    values: dict[str, Any]
    locations: dict[str, Location] = field(default_factory=dict)


def read_file(path: Path, location: Location | None = None) -> str:
    """The text of a job file.

    Args:
        path: the file.
        location: where the file is named, for the error; None if on the command line.

    Raises:
        JobError: there is no such file, or it is not a text of usual size.
    """
    at = location or Location(str(path))
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)  # a device has no size, and no end
    except FileNotFoundError:
        raise JobError(_no_such_file(path, at)) from None
    except IsADirectoryError:
        names = sorted(item.name for item in path.glob("*.y*ml"))
        mend = f"name one of its files: {one_of(names)}" if names else None
        raise JobError(
            Problem("", f"{path} is a folder, not a file", mend=mend, location=at)
        ) from None
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise JobError(Problem("", message, location=at)) from None
    if len(content) > LARGEST_FILE:
        message = f"{path} has more than {LARGEST_FILE:,} bytes and cannot be a job file"
        raise JobError(Problem("", message, location=at))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = Location(str(path), content.count(b"\n", 0, error.start) + 1)
        message = f"byte {content[error.start]:#04x} is not UTF-8 text"
        mend = "save the file in the encoding UTF-8"
        raise JobError(Problem("", message, mend=mend, location=place)) from None


def read_yaml(text: str, file: str) -> Parsed:
    """The mapping that ``text`` holds.

    Args:
        text: one YAML document, a mapping at the top.
        file: its name, for locations.

    Raises:
        JobError: not YAML, no mapping, keys given twice, or something a job has no use for.
    """
    node = _compose(text, file)
    if node is None:
        raise JobError(Problem("", "the file is empty", location=Location(file, 1)))
    if not isinstance(node, MappingNode):
        message = "a file of this kind holds keys and values ('name: my-job'), this one does not"
        raise JobError(Problem("", message, location=_location(node, file)))
    reading = _Reading(file)
    values = reading.value(node, "")
    if reading.problems:
        raise JobError(reading.problems)
    return Parsed(values, {**reading.locations, "": _location(node, file)})


def read_value(text: str, place: str) -> Any:
    """A single value in YAML, as given on the command line; the empty text is None.

    Raises:
        JobError: not YAML; ``place`` says where.
    """
    reading = _Reading(place)
    try:
        node = _compose(text, place)
        value = None if node is None else reading.value(node, "")
    except JobError as error:
        raise JobError([_at(problem, place) for problem in error.problems]) from None
    if reading.problems:
        raise JobError([_at(problem, place) for problem in reading.problems])
    return value


class _Loader(yaml.SafeLoader):
    """Decides the types of plain scalars as YAML 1.2's core schema does."""

    yaml_implicit_resolvers = {}  # noqa: RUF012  (as the library declares it)


for _tag, _pattern in CORE_SCHEMA:
    _Loader.add_implicit_resolver(_tag, _pattern, None)


def _compose(text: str, file: str) -> Node | None:
    loader: _Loader | None = None
    try:
        loader = _Loader(text)
        node: Node | None = loader.get_single_node()
        return node
    except yaml.YAMLError as error:
        raise JobError(yaml_problem(error, text, file)) from None
    except RecursionError:
        raise JobError(Problem("", "is nested too deeply", location=Location(file))) from None
    finally:
        if loader is not None:
            loader.dispose()


@dataclass
class _Reading:
    """Turns nodes into plain values, remembering places and collecting what is wrong."""

    file: str
    locations: dict[str, Location] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    count: int = 0
    open_nodes: set[int] = field(default_factory=set)

    def value(self, node: Node, path: str) -> Any:
        self.count += 1
        if self.count > MOST_VALUES:
            message = f"holds more than {MOST_VALUES:,} values once its aliases are filled in"
            raise JobError(Problem("", message, location=Location(self.file)))
        if id(node) in self.open_nodes:
            message = "the alias stands inside the very value that it repeats"
            self.problems.append(Problem(path, message, location=_location(node, self.file)))
            return None
        if node.tag not in _TAGS[type(node)]:
            self.problems.append(_wrong_tag(node, path, self.file))
            return None
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        self.open_nodes.add(id(node))
        try:
            if isinstance(node, MappingNode):
                return {
                    key: self.value(item, inner) for key, item, inner in self._pairs(node, path)
                }
            return [self._item(item, _join(path, str(i))) for i, item in enumerate(node.value)]
        finally:
            self.open_nodes.remove(id(node))

    def _item(self, node: Node, path: str) -> Any:
        self.locations[path] = _location(node, self.file)
        return self.value(node, path)

    def _pairs(self, node: MappingNode, path: str) -> Iterator[tuple[str, Node, str]]:
        first: dict[str, Node] = {}
        for key_node, item in node.value:
            at = _location(key_node, self.file)
            if not isinstance(key_node, ScalarNode):
                self.problems.append(Problem(path, "a key must be a plain text", location=at))
                continue
            key = key_node.value
            inner = _join(path, key)
            if (odd := no_text(key)) is not None:
                self.problems.append(Problem(inner, odd, location=at))
                continue
            if key == "<<" and key_node.style is None:
                message = "the merge key '<<' is not part of YAML 1.2"
                mend = "put what is shared into a file of its own and name it under 'extends'"
                self.problems.append(Problem(inner, message, mend=mend, location=at))
                continue
            if key in first:
                lines = f"{_location(first[key], self.file).line} and {at.line}"
                message = f"the key {key!r} is given twice, in lines {lines}"
                self.problems.append(Problem(inner, message, mend="keep one", location=at))
                continue
            first[key] = key_node
            self.locations[inner] = at
            yield key, item, inner

    def _scalar(self, node: ScalarNode, path: str) -> Any:
        try:
            value = _SCALARS[node.tag](node.value)
        except ValueError:
            kind = node.tag.removeprefix(CORE)
            message = f"cannot be read as {kind}"
            at = _location(node, self.file)
            self.problems.append(Problem(path, message, got=node.value, location=at))
            return None
        if isinstance(value, str) and (odd := no_text(value)) is not None:
            at = _location(node, self.file)
            self.problems.append(Problem(path, odd, got=value, location=at))
        if isinstance(value, float) and math.isnan(value):
            at = _location(node, self.file)
            message = "is 'not a number', which no setting can be"
            self.problems.append(Problem(path, message, got=node.value, location=at))
        return value


def no_text(text: str) -> str | None:
    """Why a text cannot be written to a file or be part of a path; None if it can."""
    match = re.search("[\0\ud800-\udfff]", text)
    return f"holds a character that no text can have (U+{ord(match[0]):04X})" if match else None


def _integer(text: str) -> int:
    return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))


def _number(text: str) -> float:
    return float(re.sub(r"\.(inf|nan)$", r"\1", text, flags=re.IGNORECASE))


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError
    return text.lower() == "true"


_SCALARS: dict[str, Any] = {
    f"{CORE}null": lambda text: None,
    f"{CORE}bool": _truth,
    f"{CORE}int": _integer,
    f"{CORE}float": _number,
    f"{CORE}str": str,
}
_TAGS: dict[type[Node], set[str]] = {
    ScalarNode: set(_SCALARS),
    SequenceNode: {f"{CORE}seq"},
    MappingNode: {f"{CORE}map"},
}


def _wrong_tag(node: Node, path: str, file: str) -> Problem:
    tag = node.tag.replace(CORE, "!!")
    message = f"the tag {tag} has no meaning here"
    return Problem(path, message, mend="remove it", location=_location(node, file))


def _no_such_file(path: Path, at: Location) -> Problem:
    folder = path.parent
    if not folder.is_dir():
        return Problem("", f"there is no folder {folder}", location=at)
    names = sorted(item.name for item in folder.iterdir() if item.suffix in (".yaml", ".yml"))
    closest = nearest(path.name, names)
    return Problem(
        "",
        f"there is no file {path}",
        allowed=one_of(names) or None,
        nearest=str(folder / closest) if closest else None,
        location=at,
    )


def _location(node: Node, file: str) -> Location:
    return Location(file, node.start_mark.line + 1)


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _at(problem: Problem, place: str) -> Problem:
    return replace(problem, location=Location(place))
