"""From the ``space`` section of a job to its parameters; mistakes are told where they stand."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from trainwright.errors import MISSING, Problem
from trainwright.search.space.domain import Domain, shown
from trainwright.search.space.forms import FORMS, NUMERIC, numeric_domain
from trainwright.search.space.options import Options, identity, labels_of
from trainwright.suggest import nearest, one_of

PLACE = "space"
"""Where the section stands in the job."""

MOST_COMBINATIONS = 100_000
"""Of all grid parameters: more than anybody tries, and few enough to be listed."""

KINDS = ("choice", "grid", *NUMERIC)

_ELSEWHERE = {
    "quniform": "quantised",
    "quantized": "quantised",
    "randint": "int",
    "lograndint": "logint",
    "randn": "normal",
    "gaussian": "normal",
    "grid_search": "grid",
    "categorical": "choice",
}
"""Words for domains in other programs."""


@dataclass(frozen=True)
class Parameter:
    """One value that a search chooses.

    Attributes:
        name: dotted path of the value in the base; what belongs to option LABEL of the choice at
            path P alone is called ``P[LABEL].REST``.
        domain: what it can be.
        condition: name of the choice and label of its option that must be taken for the parameter
            to have a value; None if it always has one.
    """

    name: str
    domain: Domain
    condition: tuple[str, str] | None = None


@dataclass(frozen=True)
class Slot:
    """Stands in a section for the value of the parameter called ``name``."""

    name: str


@dataclass(frozen=True)
class _At:
    """A place in the space: its name there, its path in the job file, what makes it active."""

    name: str
    path: str
    condition: tuple[str, str] | None = None

    def inside(self, key: str | int) -> _At:
        return _At(f"{self.name}.{key}", f"{self.path}.{key}", self.condition)


@dataclass
class Reader:
    """Reads the section, and keeps what it finds.

    Attributes:
        parameters: in written order, parents before children.
        problems: every mistake.
    """

    parameters: list[Parameter] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def read(self, values: object) -> tuple[tuple[str, Any], ...]:
        """Dotted path -> what stands there, with slots for parameters."""
        if not isinstance(values, Mapping) or not values:
            allowed = (
                "dotted paths of the base, each with a domain: optimizer.lr: {uniform: [0, 1]}"
            )
            self.problems.append(Problem(PLACE, "names nothing to search over", values, allowed))
            return ()
        self.problems += _bad_paths(values)
        entries = tuple(
            (str(path), self._content(value, _At(str(path), f"{PLACE}.{path}")))
            for path, value in values.items()
        )
        if not self.parameters and not self.problems:
            mend = f"give one of them a domain: {one_of(KINDS)}"
            self.problems.append(Problem(PLACE, "holds fixed values only", mend=mend))
        grids = [p.domain.count or 1 for p in self.parameters if p.domain.kind == "grid"]
        if math.prod(grids) > MOST_COMBINATIONS:
            allowed = f"at most {MOST_COMBINATIONS}"
            message = "the grids have too many combinations"
            self.problems.append(Problem(PLACE, message, math.prod(grids), allowed))
        return entries

    def _content(self, value: Any, at: _At) -> Any:
        if isinstance(value, Mapping):
            if len(value) == 1 and next(iter(value)) in KINDS:
                return self._parameter(*next(iter(value.items())), at)
            self.problems += _misspelt(value, at.path)
            return {key: self._content(item, at.inside(key)) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._content(item, at.inside(index)) for index, item in enumerate(value)]
        return value

    def _parameter(self, kind: str, given: Any, at: _At) -> Slot:
        if any(parameter.name == at.name for parameter in self.parameters):
            self.problems.append(Problem(at.path, f"there are two parameters called {at.name}"))
        if kind in ("choice", "grid"):
            self._options("grid" if kind == "grid" else "choice", given, at)
            return Slot(at.name)
        domain, problems = numeric_domain(kind, given, f"{at.path}.{kind}")
        self.problems += problems
        if domain is not None:
            self.parameters.append(Parameter(at.name, domain, at.condition))
        return Slot(at.name)

    def _options(self, kind: Literal["choice", "grid"], given: Any, at: _At) -> None:
        place = f"{at.path}.{kind}"
        if problem := _bad_options(kind, given, place):
            self.problems.append(problem)
            return
        if kind == "grid" and at.condition is not None:
            message = f"a grid is tried whole, and cannot depend on what {at.condition[0]} is"
            self.problems.append(Problem(place, message, given, mend="use choice"))
        labels = labels_of(given)
        number = len(self.parameters)
        contents = tuple(
            self._content(
                option,
                _At(f"{at.name}[{shown(label)}]", f"{place}.{index}", (at.name, str(label))),
            )
            for index, (option, label) in enumerate(zip(given, labels, strict=True))
        )
        parameter = Parameter(at.name, Options(labels, contents, kind), at.condition)
        self.parameters.insert(number, parameter)


def _bad_options(kind: str, given: Any, place: str) -> Problem | None:
    if not isinstance(given, (list, tuple)):
        mend = f"write {kind}: [{given}]" if not isinstance(given, Mapping) else None
        return Problem(place, "is no list", given, allowed=FORMS[kind], mend=mend)
    if not given:
        return Problem(place, "has no options", given, allowed=FORMS[kind])
    seen: dict[str, int] = {}
    for index, option in enumerate(given):
        first = seen.setdefault(identity(option), index)
        if first != index:
            message = f"the option stands in the list already, as entry {first}"
            return Problem(f"{place}.{index}", message, option, mend="leave one of them out")
    return None


def _misspelt(section: Mapping[str, Any], path: str) -> Iterator[Problem]:
    """A section that was meant to be a domain."""
    if len(section) == 1:
        ((word, given),) = section.items()
        meant = _ELSEWHERE.get(word) or nearest(word, KINDS, cutoff=0.8)
        if meant is not None and isinstance(given, list):
            message = f"there is no domain {word!r}"
            yield Problem(f"{path}.{word}", message, allowed=one_of(KINDS), nearest=meant)
    elif "name" not in section:
        for word in [word for word in section if word in KINDS][:1]:
            if isinstance(section[word], list):
                yield Problem(
                    path,
                    f"a domain is a section with one key, and beside {word!r} there are others",
                    got=list(section),
                    allowed=f"{word}: {FORMS[word]}",
                )


def _bad_paths(values: Mapping[Any, Any]) -> Iterator[Problem]:
    """Paths that are none, and paths inside one another."""
    for path in values:
        if not isinstance(path, str) or not all(path.split(".")):
            allowed = "keys with dots between them: optimizer.lr"
            yield Problem(f"{PLACE}.{path}", "is no dotted path", path, allowed)
    paths: Sequence[str] = [path for path in values if isinstance(path, str)]
    for path in paths:
        for outer in paths:
            if path.startswith(f"{outer}."):
                message = f"lies inside {outer}, which the space sets as a whole"
                mend = f"write it into {outer}, or leave one of the two out"
                yield Problem(f"{PLACE}.{path}", message, MISSING, mend=mend)
