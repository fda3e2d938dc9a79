"""Domains of options, single values or whole sections of a job, and what options are called."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from trainwright.search.space.domain import LAST, Domain, Value, shown


@dataclass(frozen=True)
class Options(Domain):
    """Some options, all equally likely: a ``choice``, or a ``grid``, which is tried whole.

    Attributes:
        labels: what the options are called: a single value by itself, a section by its name.
        contents: what each option puts into the job; in sections, parameters stand as slots.
        kind: which of the two.
    """

    labels: tuple[Value, ...]
    contents: tuple[Any, ...]
    kind: Literal["choice", "grid"] = "choice"
    is_numeric = False

    @property
    def count(self) -> int:
        """How many options there are."""
        return len(self.labels)

    def values(self) -> Iterator[Value]:
        """See the base class."""
        return iter(self.labels)

    def index(self, value: object) -> int:
        """Which option has the label ``value``.

        Raises:
            ValueError: none has it.
        """
        return [identity(label) for label in self.labels].index(identity(value))

    def unit(self, value: Value) -> float:
        """See the base class."""
        return (self.index(value) + 0.5) / self.count

    def from_unit(self, position: float) -> Value:
        """See the base class."""
        return self.labels[int(min(position, LAST) * self.count)]

    def why_not(self, value: object) -> str | None:
        """See the base class."""
        if identity(value) in map(identity, self.labels):
            return None
        return f"{value!r} is none of {', '.join(map(shown, self.labels))}"

    def describe(self) -> str:
        """See the base class."""
        return f"{self.kind} of {', '.join(map(shown, self.labels))}"


def identity(value: object) -> str:
    """A text that two options share if they are the same: 1 and 1.0 do, 1 and true do not."""
    return json.dumps(_canonical(value), sort_keys=True)


def _canonical(value: object) -> object:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {str(key): _canonical(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(item) for item in value]
    return value


def labels_of(options: Sequence[Any]) -> tuple[Value, ...]:
    """What options are called, no two alike.

    A single value is its own label. A section is called by its ``name``, a list of plugins by
    their names with ``+`` between them (``none`` if it is empty), a list of numbers as it is
    written, and whatever else by its number with ``#`` before it, which is also added where two
    would be called alike.
    """
    wanted = [_label(option, index) for index, option in enumerate(options)]
    times = Counter(map(identity, wanted))
    return tuple(
        f"{label}#{index}" if _is_structure(option) and times[identity(label)] > 1 else label
        for index, (option, label) in enumerate(zip(options, wanted, strict=True))
    )


def _label(option: Any, index: int) -> Value:
    if not _is_structure(option):
        plain: Value = option
        return plain
    if isinstance(option, Mapping):
        return _name(option) or f"#{index}"
    if option and not any(_is_structure(item) or isinstance(item, str) for item in option):
        return f"[{', '.join(map(shown, option))}]"
    names = [_name(item) if isinstance(item, Mapping) else item for item in option]
    if not all(isinstance(name, str) for name in names):
        return f"#{index}"
    return "+".join(map(str, names)) or "none"


def _name(section: Mapping[str, Any]) -> str | None:
    name = section.get("name")
    return name if isinstance(name, str) and name else None


def _is_structure(option: Any) -> bool:
    return isinstance(option, (Mapping, list))
