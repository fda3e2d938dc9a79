"""The measured process's end of the line to the benchmark.

Nothing here imports Trainwright: it runs in the environments of peers too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from multiprocessing.connection import Connection


class Pace:
    """Does a turn of work whenever the benchmark says so.

    Args:
        line: to the benchmark.
    """

    def __init__(self, line: Connection) -> None:
        self._line = line

    def serve(self, turn: Callable[[], object], check: Callable[[], object] | None = None) -> None:
        """Tell that all is ready; then do and time turns until told to end.

        Args:
            turn: what is timed.
            check: looks, after each turn and beside its time, at what the turn did.
        """
        self._line.send(None)
        while self._line.recv() == "turn":
            began, used = time.perf_counter(), time.process_time()
            turn()
            taken = time.perf_counter() - began, time.process_time() - used
            if check is not None:
                check()
            self._line.send(taken)

    def end(self, answer: object = None) -> None:
        """Hand over what the benchmark asks for at the end; anything that can be pickled."""
        self._line.send(answer)
