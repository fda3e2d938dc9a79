"""Trying again what a store may do better the next time."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from typing import TypeVar

from trainwright.data.files.reading import is_damage
from trainwright.errors import InputError

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 60.0
_FOR_GOOD = (
    FileNotFoundError,
    PermissionError,
    IsADirectoryError,
    NotADirectoryError,
    ImportError,
    InputError,
)


class Closed(Exception):  # noqa: N818 - nothing went wrong
    """Reading was ended while it waited."""


class GivenUpError(Exception):
    """A store refused to the last; the cause is the ``__cause__``.

    Attributes:
        attempts: how often it was asked.
    """

    def __init__(self, attempts: int) -> None:
        super().__init__(f"after {attempts} attempts")
        self.attempts = attempts


class Patience:
    """Repeats what fails for a reason that can pass, waiting twice as long each time.

    Args:
        retries: how often at most; the first time after half a second, give or take a half.
    """

    def __init__(self, retries: int) -> None:
        self._retries = retries
        self._closed = threading.Event()
        # Of its own: the draws of training must not depend on how often a store refused.
        self._jitter = random.Random()  # noqa: S311 - nothing secret

    def __call__(self, what: str, action: Callable[[], _T]) -> _T:
        """What ``action`` returns.

        Args:
            what: what is read, for the log.
            action: may be called several times.

        Raises:
            GivenUpError: it failed to the last, each time for a reason that could have passed.
            Closed: reading was ended meanwhile.
            Exception: what it raised, if that cannot pass.
        """
        for attempt in range(1, self._retries + 2):
            if self._closed.is_set():
                raise Closed
            try:
                return action()
            except Exception as error:  # stores raise errors of their own libraries
                if not can_pass(error):
                    raise
                if attempt > self._retries:
                    raise GivenUpError(attempt) from error
                self._wait(what, attempt, error)
        raise AssertionError("not reached")

    def close(self) -> None:
        """End all waiting."""
        self._closed.set()

    def _wait(self, what: str, attempt: int, error: Exception) -> None:
        longest = min(FIRST_WAIT_S * 2 ** (attempt - 1), LONGEST_WAIT_S)
        seconds = longest * self._jitter.uniform(0.5, 1.5)
        _log.warning(
            "%s: %s: %s; attempt %d of %d follows in %.1f s",
            what,
            type(error).__name__,
            error,
            attempt + 1,
            self._retries + 1,
            seconds,
        )
        if self._closed.wait(seconds):
            raise Closed


def can_pass(error: Exception) -> bool:
    """Whether an error may be gone the next time: a store's or a network's, no damage, no bug.

    Errors of a file system have a number; those of pyarrow about a file's content have none. What
    is neither of Python itself nor of pyarrow comes from a store's client.
    """
    if isinstance(error, (ConnectionError, TimeoutError)):
        return True
    if isinstance(error, _FOR_GOOD) or _is_refusal(error):
        return False
    if type(error) is OSError and error.errno is None:
        return False
    if isinstance(error, OSError):
        return True
    return not is_damage(error) and type(error).__module__ != "builtins"


def _is_refusal(error: Exception) -> bool:
    """Whether an HTTP client tells of a request that will never be answered (4xx)."""
    status = getattr(error, "status", None)
    return isinstance(status, int) and 400 <= status < 500 and status not in (408, 429)
