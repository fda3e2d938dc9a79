"""Two sides in one process that work in turn: ours in a thread, the bare one in the main thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, ClassVar

from trainwright.strategy import Context, Declares, Step, Strategy
from trainwright.tracking import JournalWriter


class Handover:
    """Lets a function in a thread go on for one turn at a time.

    The function calls :meth:`end_turn` now and then; there it waits until :meth:`turn` is called.
    """

    def __init__(self) -> None:
        self._go = threading.Semaphore(0)
        self._back = threading.Semaphore(0)
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    def start(self, function: Callable[[], object]) -> None:
        """Run ``function`` up to the first end of a turn."""

        def guarded() -> None:
            self._go.acquire()
            try:
                function()
            except BaseException as error:
                self._error = error
            finally:
                self._back.release()

        self._thread = threading.Thread(target=guarded, name="ours", daemon=True)
        self._thread.start()
        self.turn()

    def turn(self) -> None:
        """Let the function go on to its next end of a turn, or to its own end.

        Raises:
            BaseException: what the function raised.
        """
        self._go.release()
        self._back.acquire()
        if self._error is not None:
            raise self._error

    def last_turn(self) -> None:
        """Let the function come to its end."""
        self.turn()
        if self._thread is not None:
            self._thread.join()

    def end_turn(self) -> None:
        """Called by the function: wait for the next turn."""
        self._back.release()
        self._go.acquire()


class Turns(Strategy):
    """Ends our side's turn every ``block`` updates; a probe that the benchmarked job contains.

    Args:
        block: updates in one turn.
    """

    declares = Declares(probe=True)
    handover: ClassVar[Handover]
    settle: ClassVar[Callable[[], object]]

    def __init__(self, block: int) -> None:
        self.block = block

    def begin(self, context: Context) -> None:
        Turns.handover.end_turn()

    def updated(self, step: Step) -> None:
        if (step.index + 1) % self.block == 0:
            Turns.settle()
            Turns.handover.end_turn()


def noting(opened: list[JournalWriter]) -> Callable[[], None]:
    """Put every journal that is opened from now on into a list; the answer ends that."""
    original = JournalWriter.__init__

    def noted(self: JournalWriter, *arguments: Any, **options: Any) -> None:
        original(self, *arguments, **options)
        opened.append(self)

    def restore() -> None:
        JournalWriter.__init__ = original  # type: ignore[method-assign]

    JournalWriter.__init__ = noted  # type: ignore[method-assign]
    return restore
