"""How far a submitted job is, in a form that travels."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, dataclass
from typing import Any, get_args

from typing_extensions import Self

from trainwright.runs import Unit
from trainwright.times import clock

_LINE = re.compile(
    rf"(?P<unit>{'|'.join(unit.removesuffix('s') for unit in get_args(Unit))}) (?P<step>\d{{1,15}})"
    r"(?: of (?P<total>\d{1,15}) \(\d{1,3}%\))?(?:, (?P<left>\d{1,6}(?::\d\d){1,2}) left)?"
)


IN_LOG = "progress: "
"""What a line of a job's log begins with that says how far the run is."""


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        step: updates, rounds or trials done.
        total: how many are planned; 0 while that is not known.
        unit: what is counted.
        seconds_left: estimate; None while there is none.
    """

    step: int
    total: int
    unit: str = "steps"
    seconds_left: float | None = None

    @property
    def percent(self) -> int:
        """0 to 100, rounded down: 100 means done."""
        return min(100, 100 * self.step // self.total) if self.total else 0

    @property
    def line(self) -> str:
        """In words, as ``step 120 of 560 (21%), 0:41 left``."""
        of = f" of {self.total} ({self.percent}%)" if self.total else ""
        left = "" if self.seconds_left is None else f", {clock(self.seconds_left)} left"
        return f"{self.unit.removesuffix('s')} {self.step}{of}{left}"

    @property
    def log_line(self) -> str:
        """The line of a job's log that says so."""
        return f"{IN_LOG}{self.line}"

    @classmethod
    def of_line(cls, line: str) -> Self | None:
        """What ``line`` says; None for any other text."""
        match = _LINE.fullmatch(line)
        if match is None:
            return None
        left = match["left"]
        parts = [int(part) for part in reversed(left.split(":"))] if left else []
        seconds = sum(part * 60**power for power, part in enumerate(parts))
        total = int(match["total"] or 0)
        return cls(int(match["step"]), total, f"{match['unit']}s", seconds if left else None)

    def to_text(self) -> str:
        """One line of JSON."""
        values = {**asdict(self), "percent": self.percent}
        left = self.seconds_left
        values["seconds_left"] = None if left is None or not math.isfinite(left) else round(left)
        return json.dumps(values, separators=(",", ":"))

    @classmethod
    def of_text(cls, text: str | None) -> Self | None:
        """What ``to_text`` wrote; None for anything else: others may write there too."""
        try:
            found: Any = json.loads(text or "")
            step, total, left = found["step"], found["total"], found.get("seconds_left")
            unit = str(found["unit"])
            progress = cls(int(step), int(total), unit, None if left is None else float(left))
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            return None
        finite = progress.seconds_left is None or math.isfinite(progress.seconds_left)
        is_ours = unit in get_args(Unit) and progress.step >= 0 and progress.total >= 0 and finite
        return progress if is_ours else None
