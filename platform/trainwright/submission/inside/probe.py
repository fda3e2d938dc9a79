"""``python -m trainwright.submission.inside.probe``, where the questions are: look around."""

from __future__ import annotations

import sys
from pathlib import Path

from trainwright.submission.probe.looking import look
from trainwright.submission.probe.telling import tell, tell_end


def main() -> int:
    """Look, and tell on standard output; the exit status, which is 0 whatever was found."""
    for finding in look(Path.cwd()):
        tell(sys.stdout, finding)
    tell_end(sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
