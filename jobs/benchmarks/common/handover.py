"""A function in a thread that works for one turn at a time.

Nothing here imports Trainwright: it runs in the environments of peers too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


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
