"""``python -m trainwright.submission.inside``, in the folder of a parcel: run its job."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import typer

from trainwright.cli.reporting import Report, reporting
from trainwright.cli.running import Call
from trainwright.orchestration.request import Request
from trainwright.submission.inside.attendant import Attendant
from trainwright.submission.parcel import JOB, SUBMISSION, Orders

GOES_ON = "`trainwright submit`, as before"
ANEW = "with another seed it is another run"


def main() -> int:
    """Run the job; its exit status."""
    # Whoever stops the job before training listens is heard too, and what was begun is closed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    attendant = Attendant(os.environ.get(SUBMISSION, "by-hand"))
    report: Report | None = None
    status = 0
    try:
        with reporting() as report:
            report.anew = ANEW
            orders = read_orders()
            os.environ.update(orders.variables)
            job, overrides = Path(JOB), list(orders.overrides)
            call = Call(report, job, overrides, Request(), quiet=False)
            call.goes_on, call.watcher = GOES_ON, attendant
            call.run()
    except typer.Exit as end:
        status = end.exit_code
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is ending, within seconds
    attendant.close(report.answer.get("storage") if report is not None else None)
    return status


def read_orders() -> Orders:
    """The orders of the parcel in the working directory, which is then left for one of our own.

    Where several of Ray's nodes share a machine each unpacks the parcel anew, in the same place: a
    process that stands there finds its folder gone. The job is read through a link, so that its
    base is the place that every node has.
    """
    parcel = Path.cwd()
    orders = Orders.read(parcel)
    own = Path(tempfile.mkdtemp(prefix="trainwright-inside-"))
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    (own / Path(JOB).parent).symlink_to(parcel / Path(JOB).parent)
    os.chdir(own)
    return orders


if __name__ == "__main__":
    sys.exit(main())
