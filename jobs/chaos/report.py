"""The table of what happened, and what of it should not have."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

HEAD = (
    *("#", "fault", "at s", "step", "lost steps", "repeated", "missed", "gaps", "gaps MLflow"),
    *("recovery s", "command"),
)


@dataclass
class Happened:
    """One fault and what came of it.

    Attributes:
        fault: what was done.
        at_s: seconds after the start of the run.
        step: last update before it.
        lost: updates that were trained again.
        still_s: the longest time without an update, from the fault until the next one.
        again: how often the command was given again.
        allowed_lost: updates that may be lost by such a fault.
        allowed_again: whether the command has to be given again after such a fault.
        repeated, missed: samples of the surviving updates, up to the next fault.
        gaps, server_gaps: numbers missing in the journal and in MLflow, up to the next fault.
    """

    fault: str
    at_s: float
    step: int
    lost: int = 0
    still_s: float = 0.0
    again: int = 0
    allowed_lost: int = 0
    allowed_again: bool = False
    repeated: int = 0
    missed: int = 0
    gaps: int = 0
    server_gaps: int = 0

    @property
    def complaints(self) -> list[str]:
        """What should not have come of it."""
        found = []
        if self.lost > self.allowed_lost:
            found.append(f"{self.lost} updates were lost, {self.allowed_lost} may be")
        if self.again and not self.allowed_again:
            found.append("the command had to be given again")
        found += [
            f"{count} {what}"
            for count, what in (
                (self.repeated, "samples were repeated"),
                (self.missed, "samples were missed"),
                (self.gaps, "numbers are missing in the journal"),
                (self.server_gaps, "numbers are missing in MLflow"),
            )
            if count
        ]
        return found


@dataclass
class Result:
    """The whole run.

    Attributes:
        faults: in the order in which they happened.
        complaints: what does not hold of the run as a whole.
        claims: what holds of it, one sentence each.
    """

    faults: list[Happened]
    complaints: list[str] = field(default_factory=list)
    claims: list[str] = field(default_factory=list)

    @property
    def all_complaints(self) -> list[str]:
        """Everything that does not hold."""
        own = [
            f"fault {number} ({fault.fault}): {complaint}"
            for number, fault in enumerate(self.faults, 1)
            for complaint in fault.complaints
        ]
        return [*own, *self.complaints]


def windows(starts: Sequence[int], last: int) -> list[range]:
    """The updates of each fault: those after it, up to the one at which the next happened.

    Args:
        starts: last update before each fault, ascending; the first window begins at update 1.
        last: number of updates of the run.
    """
    bounds = [0, *starts[1:], last] if starts else []
    return [range(low + 1, high + 1) for low, high in itertools.pairwise(bounds)]


def lost_and_still(
    steps: Sequence[tuple[float, int]], began: float, ended: float
) -> tuple[int, float]:
    """Updates trained again, and the longest time without one, between two moments.

    Args:
        steps: (time, number) of every update in the order in which they happened.
        began: a moment.
        ended: a later one.
    """
    inside = [entry for entry in steps if began < entry[0] <= ended]
    top = next((step for time, step in reversed(steps) if time <= began), 0)
    lost = 0
    for _, step in inside:
        lost += max(0, top + 1 - step)
        top = step
    times = [began, *(time for time, _ in inside)]
    still = max((b - a for a, b in itertools.pairwise(times)), default=ended - began)
    return lost, still


def table(faults: Iterable[Happened]) -> str:
    """All faults as a table in Markdown."""
    rows = [HEAD, *(_row(number, fault) for number, fault in enumerate(faults, 1))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)) + " |" for r in rows
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines[1:]])


def _row(number: int, fault: Happened) -> tuple[str, ...]:
    return (
        str(number),
        fault.fault,
        f"{fault.at_s:.0f}",
        str(fault.step),
        str(fault.lost),
        str(fault.repeated),
        str(fault.missed),
        str(fault.gaps),
        str(fault.server_gaps),
        f"{fault.still_s:.1f}",
        "again" if fault.again else "went on",
    )
