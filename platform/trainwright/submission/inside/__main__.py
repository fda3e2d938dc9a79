"""``python -m trainwright.submission.inside``, in the folder of a parcel: run its job."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import typer

from trainwright.cli.reporting import reporting
from trainwright.cli.running import Call
from trainwright.orchestration.request import Request
from trainwright.submission.parcel import JOB, Orders


def main() -> int:
    """Run the job; its exit status."""
    try:
        with reporting() as report:
            orders = Orders.read(Path.cwd())
            os.environ.update(orders.variables)
            Call(report, Path(JOB), list(orders.overrides), Request(), quiet=False).run()
    except typer.Exit as end:
        return end.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
