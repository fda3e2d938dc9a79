"""Notes when each stage of a launch ended: a probe beside the job that uses it, launch.yaml."""

from __future__ import annotations

import sys
import time

from stamps import stamp, stamp_ray

from trainwright.strategy import Context, Declares, Plan, Step, Strategy


class Stamps(Strategy):
    """Writes when worker 0 and what leads to it were started, and when it had its data, its
    engine, its first update.

    Args:
        file: takes the stamps; an absolute path, for workers have a working directory of their own.
    """

    declares = Declares(probe=True)

    def __init__(self, file: str) -> None:
        self.file = file
        self._waiting = False
        self._had_data = 0.0

    def plan(self, plan: Plan) -> Plan:
        self._had_data = time.time()
        return plan

    def begin(self, context: Context) -> None:
        self._waiting = context.rank == 0
        if self._waiting:
            if "ray" in sys.modules:  # not where the job is checked, or trains without it
                stamp_ray(self.file)
            stamp(self.file, "data", self._had_data)
            stamp(self.file, "engine")

    def updated(self, step: Step) -> None:
        if self._waiting:
            self._waiting = False
            stamp(self.file, "update")
