"""``python -m trainwright.submission.inside.probe``, where the questions are: look around."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from trainwright.doctor.finding import Finding
from trainwright.submission.probe.looking import look
from trainwright.submission.probe.telling import tell, tell_end

LONGEST_S = 600.0
"""A store that does not answer may hold up a client of its own for ever."""


def main(longest_s: float = LONGEST_S) -> int:
    """Look, and tell on standard output; the exit status, which is 0 whatever was found.

    Args:
        longest_s: when to end, however far it is.
    """
    last = ["the start"]
    guard = threading.Timer(longest_s, _give_up, [last, longest_s])
    guard.daemon = True
    guard.start()
    for finding in look(Path.cwd()):
        tell(sys.stdout, finding)
        last[:] = [finding.name]
    tell_end(sys.stdout)
    return 0


def _give_up(last: list[str], longest_s: float) -> None:
    says = f"what follows {last[0]} took so long that the look was ended after {longest_s:.0f} s"
    mend = "a store or a server that does not answer looks like this: can the cluster reach it?"
    tell(sys.stdout, Finding("probe", "stop", says, mend))
    tell_end(sys.stdout)
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
