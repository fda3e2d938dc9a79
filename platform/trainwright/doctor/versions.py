"""Whether an installed version lies in the range that the package declares."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version

_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*\(?([^;)]*)\)?\s*(?:;(.*))?$")
_CLAUSE = re.compile(r"(>=|<=|==|!=|<|>|~=)\s*([\w.!+*-]+)")

_COMPARE: dict[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]] = {
    ">=": lambda have, limit: have >= limit,
    "<=": lambda have, limit: have <= limit,
    ">": lambda have, limit: have > limit,
    "<": lambda have, limit: have < limit,
    "==": lambda have, limit: have == limit,
    "!=": lambda have, limit: have != limit,
}


@dataclass(frozen=True)
class Library:
    """A library that the package depends on.

    Attributes:
        name: distribution.
        allowed: range of versions, as declared.
        installed: version; None when it is not there.
    """

    name: str
    allowed: str
    installed: str | None

    @property
    def fits(self) -> bool:
        """Whether it is there in a version of the range."""
        return self.installed is not None and in_range(self.installed, self.allowed)


def libraries(distribution: str, platform: str) -> Iterator[Library]:
    """What ``distribution`` needs on ``platform`` (as ``sys.platform`` says), extras left out."""
    for line in requires(distribution) or []:
        match = _REQUIREMENT.match(line)
        assert match is not None
        name, allowed, marker = match.group(1), match.group(2).strip(), match.group(3) or ""
        if "extra" in marker or ("sys_platform" in marker and platform not in marker):
            continue
        try:
            yield Library(name, allowed, version(name))
        except PackageNotFoundError:
            yield Library(name, allowed, None)


def in_range(installed: str, allowed: str) -> bool:
    """Whether a version satisfies every clause, by the numbers of its release.

    Pre-releases count as the release they lead to; local parts (``+cpu``) do not count.
    """
    have = release(installed)
    for operator, limit in _CLAUSE.findall(allowed):
        if operator not in _COMPARE:
            continue
        wanted = release(limit)
        length = max(len(have), len(wanted))
        if not _COMPARE[operator](_padded(have, length), _padded(wanted, length)):
            return False
    return True


def release(text: str) -> tuple[int, ...]:
    """``2.13.0+cpu`` -> ``(2, 13, 0)``."""
    match = re.match(r"\d+(?:\.\d+)*", text)
    return tuple(int(part) for part in match.group().split(".")) if match else ()


def _padded(numbers: tuple[int, ...], length: int) -> tuple[int, ...]:
    return numbers + (0,) * (length - len(numbers))
