"""A worker that no longer gets on: noticed, told where it stands, and ended."""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePath

_EXIT_STATUS = 75
_PATIENCE = 1.25
_WAITING = (
    "torch/distributed/",
    "deepspeed/",
    "trainwright/collectives.py",
    "torch/autograd/graph.py",  # a backward pass, in which gradients are summed over the workers
)
_OF_OTHERS = ("torch/", "deepspeed/")


@dataclass(frozen=True)
class Hang:
    """Where a worker stood that made no progress.

    Attributes:
        rank: the worker.
        seconds: since it last began an update or a batch of an evaluation.
        where: file, line and function, the innermost outside of torch and DeepSpeed.
        waits: whether it waited for the other workers.
        stack: of the thread that trains, outermost call first.
    """

    rank: int
    seconds: float
    where: str
    waits: bool
    stack: str


def hang_of(rank: int, seconds: float, frames: traceback.StackSummary) -> Hang:
    """What a stack says, outermost call first."""
    own = [frame for frame in frames if not _is_of(frame, _OF_OTHERS)] or list(frames)
    last = own[-1]
    where = f"{PurePath(last.filename).name}:{last.lineno} in {last.name}"
    waits = _is_of(frames[-1], _WAITING)
    return Hang(rank, seconds, where, waits, "".join(frames.format()))


def _is_of(frame: traceback.FrameSummary, folders: tuple[str, ...]) -> bool:
    path = PurePath(frame.filename).as_posix()
    return any(f"/{folder}" in path for folder in folders)


class Watchdog:
    """Watches the thread that has armed it.

    Args:
        timeout_s: longest time without a beat.
        rank: this worker.
        clock: seconds, which never go back.
    """

    def __init__(
        self, timeout_s: float, rank: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.timeout_s = timeout_s
        self._rank = rank
        self._clock = clock
        self._thread = 0
        self._last: float | None = None

    def arm(self) -> None:
        """From now on beats are expected."""
        self._thread = threading.get_ident()
        self._last = self._clock()

    def beat(self) -> None:
        """Progress was made."""
        if self._last is not None:
            self._last = self._clock()

    def rest(self) -> None:
        """No beats are expected any more."""
        self._last = None

    def hang(self) -> Hang | None:
        """Where the thread stands, if there was no beat for too long."""
        last = self._last
        seconds = 0.0 if last is None else self._clock() - last
        if seconds <= self.timeout_s:
            return None
        frame = sys._current_frames()[self._thread]
        hang = hang_of(self._rank, seconds, traceback.extract_stack(frame))
        # Who waits leaves the others time to tell what for: the first that ends ends all.
        patience = _PATIENCE if hang.waits else 1.0
        return hang if seconds > patience * self.timeout_s else None


_dog: Watchdog | None = None
# One for each process, so that what beats need not know who watches.


@contextmanager
def watched(
    timeout_s: float | None,
    rank: int,
    report: Callable[[Hang], None],
    end: Callable[[int], object] = os._exit,
) -> Iterator[None]:
    """Inside, end this process where armed training makes no progress.

    Args:
        timeout_s: longest time without progress; None: nobody watches.
        rank: this worker.
        report: told of the hang before; it has some seconds.
        end: called with the exit status.
    """
    if timeout_s is None:
        yield
        return
    global _dog
    dog = _dog = Watchdog(timeout_s, rank)
    over = threading.Event()

    def tell(hang: Hang) -> None:
        try:
            report(hang)
        except Exception as error:  # whatever the store's client raises; the log has it all
            print(f"this could not be stored: {error}", file=sys.stderr, flush=True)

    def watch() -> None:
        while not over.wait(min(timeout_s / 4, 1.0)):
            if (hang := dog.hang()) is not None:
                text = f"no progress for {hang.seconds:.0f} s:\n{hang.stack}"
                print(text, file=sys.stderr, flush=True)
                # A store that hangs too must not keep the process.
                telling = threading.Thread(target=tell, args=(hang,), daemon=True)
                telling.start()
                telling.join(10.0)
                end(_EXIT_STATUS)
                return

    thread = threading.Thread(target=watch, name="watchdog", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        _dog = None
        thread.join()


def beat() -> None:
    """Say that this worker gets on."""
    if _dog is not None:
        _dog.beat()


@contextmanager
def armed() -> Iterator[None]:
    """Inside, this worker is expected to get on."""
    dog = _dog
    if dog is None:
        yield
        return
    dog.arm()
    try:
        yield
    finally:
        dog.rest()
