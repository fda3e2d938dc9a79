"""Findings on their way through a log, among whatever else is written there."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TextIO

from trainwright import __version__
from trainwright.doctor.finding import Finding
from trainwright.secrets import mask

_MARK = "trainwright-finding "
_END = "trainwright-findings-end"
_SHOWN_LINES = 3
_NOT_THERE = re.compile(r"No module named '?(trainwright[\w.]*)")
_NO_PYTHON = re.compile(r"python[\d.]*\S*: .*not found", re.IGNORECASE)

IMAGE = f"make sure that trainwright {__version__} is installed there; k8s/Dockerfile does it"


def tell(stream: TextIO, finding: Finding) -> None:
    """Write a finding as a line of its own, without secrets."""
    stream.write(_MARK + mask(json.dumps(finding.to_json())) + "\n")
    stream.flush()


def tell_end(stream: TextIO) -> None:
    """Write that nothing more comes."""
    stream.write(_END + "\n")
    stream.flush()


@dataclass
class Hearing:
    """Reads findings out of a log.

    Attributes:
        is_over: whether the probe came to its end.
        others: the lines that are no findings.
    """

    is_over: bool = False
    others: list[str] = field(default_factory=list)

    def hear(self, line: str) -> Finding | None:
        """The finding that a line tells, if it tells one."""
        _, mark, text = line.partition(_MARK)
        if mark:
            try:
                return Finding(**json.loads(text))
            except (ValueError, TypeError):  # cut off, or mixed with another line
                pass
        if line.strip() == _END:
            self.is_over = True
        elif line.strip():
            self.others.append(line.strip())
        return None

    def broken_off(self, reason: str) -> Finding:
        """What to say of a probe that ended before it had told all.

        Args:
            reason: what is known of its end, for people.
        """
        text = "\n".join(self.others)
        if match := _NOT_THERE.search(text):
            older = "has an older trainwright, which has no probe"
            says = "has no trainwright" if match[1] == "trainwright" else older
            return Finding("probe", "stop", f"the cluster's Python {says}", IMAGE)
        if _NO_PYTHON.search(text):
            return Finding("probe", "stop", f"there is no Python: {self.others[-1]}", IMAGE)
        last = " | ".join(self.others[-_SHOWN_LINES:])
        says = f"{reason}; the end of its log: {last}" if last else f"{reason}, and wrote nothing"
        mend = "look at what it said last; --no-probe leaves the look from inside out"
        return Finding("probe", "stop", mask(says), mend)
