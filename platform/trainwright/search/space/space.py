"""A search space: the parameters of a job's ``space`` section, and jobs' values made of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

from trainwright.errors import JobError
from trainwright.search.space.domain import Value
from trainwright.search.space.options import Options
from trainwright.search.space.reading import Parameter, Reader, Slot

Assignment: TypeAlias = dict[str, Value]
"""Parameter name -> its value; of a choice the option's label. Inactive parameters are absent."""


@dataclass(frozen=True)
class Space:
    """What a search chooses from.

    Attributes:
        parameters: in written order, a choice before the parameters of its options.
        entries: dotted path in the base -> what is put there, with slots for parameters.
    """

    parameters: tuple[Parameter, ...]
    entries: tuple[tuple[str, Any], ...] = field(repr=False)

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Space:
        """The space that a ``space`` section describes.

        Args:
            values: dotted path in the base -> a domain, or a fixed value, which may be a section
                or a list with domains inside.

        Raises:
            JobError: it describes none, with every problem that was found.
        """
        reader = Reader()
        entries = reader.read(values)
        if reader.problems:
            raise JobError(reader.problems)
        return cls(tuple(reader.parameters), entries)

    def parameter(self, name: str) -> Parameter:
        """The parameter of a name, which must exist."""
        return self._by_name[name]

    def assign(self, ask: Callable[[Parameter], Value]) -> Assignment:
        """Values for the parameters that are active, asked for one after another.

        Args:
            ask: gives the value of a parameter, for example ``p.domain.draw(rng)``.
        """
        assignment: Assignment = {}
        for parameter in self.parameters:
            if _is_active(parameter, assignment):
                assignment[parameter.name] = ask(parameter)
        return assignment

    def changes(self, assignment: Mapping[str, Value]) -> dict[str, Any]:
        """Dotted path in the base -> its value, everything chosen worked in."""
        return {path: self._filled(content, assignment) for path, content in self.entries}

    def places(self, assignment: Mapping[str, Value]) -> dict[str, str]:
        """Dotted path of each value that is put into the base -> where it is written in the space.

        What comes of an option is written inside the choice: ``objective.a`` stands at
        ``objective.choice.1.a``.
        """
        return {
            path: place
            for entry, content in self.entries
            for path, place in self._placed(content, entry, entry, assignment)
        }

    def check(self, assignment: Mapping[str, Any]) -> str | None:
        """Why an assignment, as read from a file, is none of this space, or None if it is."""
        for name in assignment:
            if name not in self._by_name:
                return f"{name} is no parameter of this space"
        for parameter in self.parameters:
            name = parameter.name
            active = _is_active(parameter, assignment)
            if active != (name in assignment):
                return f"{name} has no value" if active else f"{name} has a value but is inactive"
            if active and (reason := parameter.domain.why_not(assignment[name])) is not None:
                return f"{name}: {reason}"
        return None

    @cached_property
    def size(self) -> int | None:
        """Number of combinations of all values; None where some are continuous."""
        return None if self._continuous else self._combinations(None)

    def grid(self) -> Iterator[Assignment]:
        """Every combination of all values, the first parameter changing slowest.

        Raises:
            ValueError: some values are continuous; their parameters are named.
        """
        if self._continuous:
            names = ", ".join(f"{p.name} ({p.domain.describe()})" for p in self._continuous)
            raise ValueError(f"no grid has all values of {names}")
        return _crossed(self.parameters, 0, {})

    @cached_property
    def grid_parameters(self) -> tuple[Parameter, ...]:
        """Those written as ``grid``, whose combinations are tried with each draw of the others."""
        return tuple(p for p in self.parameters if p.domain.kind == "grid")

    def grid_combinations(self) -> Iterator[Assignment]:
        """Every combination of the grid parameters; a single empty one where there are none."""
        return _crossed(self.grid_parameters, 0, {})

    @cached_property
    def _by_name(self) -> dict[str, Parameter]:
        return {parameter.name: parameter for parameter in self.parameters}

    @cached_property
    def _continuous(self) -> list[Parameter]:
        return [p for p in self.parameters if p.domain.count is None]

    def _combinations(self, condition: tuple[str, str] | None) -> int:
        """Combinations of the parameters that one option makes active."""
        return math.prod(
            self._combinations_of(p) for p in self.parameters if p.condition == condition
        )

    def _combinations_of(self, parameter: Parameter) -> int:
        """Values of a parameter, each with all combinations of what it makes active."""
        if not isinstance(parameter.domain, Options):
            return parameter.domain.count or 1
        return sum(
            self._combinations((parameter.name, label)) if isinstance(label, str) else 1
            for label in parameter.domain.labels
        )

    def _placed(
        self, content: Any, path: str, place: str, assignment: Mapping[str, Value]
    ) -> Iterator[tuple[str, str]]:
        if isinstance(content, Slot):
            domain = self._by_name[content.name].domain
            if isinstance(domain, Options):
                index = domain.index(assignment[content.name])
                option, inside = domain.contents[index], f"{place}.{domain.kind}.{index}"
                yield from self._placed(option, path, inside, assignment)
                return
        yield path, place
        for key, item in _items(content):
            yield from self._placed(item, f"{path}.{key}", f"{place}.{key}", assignment)

    def _filled(self, content: Any, assignment: Mapping[str, Value]) -> Any:
        if isinstance(content, Slot):
            value, domain = assignment[content.name], self._by_name[content.name].domain
            if not isinstance(domain, Options):
                return value
            return self._filled(domain.contents[domain.index(value)], assignment)
        if isinstance(content, dict):
            return {key: self._filled(item, assignment) for key, item in content.items()}
        if isinstance(content, list):
            return [self._filled(item, assignment) for item in content]
        return content


def _items(content: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(content, dict):
        return content.items()
    return enumerate(content) if isinstance(content, list) else ()


def _is_active(parameter: Parameter, assignment: Mapping[str, Any]) -> bool:
    """Whether a parameter has a value, with those before it assigned."""
    if parameter.condition is None:
        return True
    choice, label = parameter.condition
    return choice in assignment and assignment[choice] == label


def _crossed(
    parameters: tuple[Parameter, ...], start: int, chosen: Assignment
) -> Iterator[Assignment]:
    for index in range(start, len(parameters)):
        parameter = parameters[index]
        if _is_active(parameter, chosen):
            for value in parameter.domain.values():
                yield from _crossed(parameters, index + 1, {**chosen, parameter.name: value})
            return
    yield chosen
