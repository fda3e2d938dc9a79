"""Waiting for what a run cannot do without, while it can be stopped and tells what it waits for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from trainwright.errors import Interrupted, RunError
from trainwright.storage import Folder, cause_of

SECONDS_UNTOLD = 3.0
"""A wait as short as that is nothing to talk about, as for the resources of a group that has
just ended."""

SECONDS_BETWEEN_REMARKS = 300.0

Watch = Callable[[Mapping[str, Any]], bool]
"""Called a few times a second with the newest progress; True asks training to stop."""


def wait_while(missing: Callable[[], str], limit_s: float | None, watch: Watch) -> None:
    """Return as soon as nothing is missing.

    Args:
        missing: names what is missing, and takes about a second to find it so; empty for nothing.
        limit_s: how long to wait, ``cluster.room_timeout_s``; None: for ever.
        watch: told what is waited for.

    Raises:
        RunError: it was still missing in the end.
        Interrupted: it was asked to stop meanwhile.
    """
    began, untold_s = time.monotonic(), SECONDS_UNTOLD
    while what := missing():
        waited = time.monotonic() - began
        if limit_s is not None and waited > limit_s:
            raise RunError(f"waited {limit_s:g} s (cluster.room_timeout_s) in vain for {what}")
        news = {"remark": f"waiting for {what}"} if waited > untold_s else {}
        untold_s = waited + SECONDS_BETWEEN_REMARKS if news else untold_s
        if watch(news):
            raise Interrupted(
                f"stopped while waiting for {what}. "
                "The same command continues from the last checkpoint"
            )
    if untold_s > SECONDS_UNTOLD:
        watch({"remark": "the wait is over"})


def wait_for_storage(folder: Folder, limit_s: float | None, watch: Watch) -> None:
    """Wait until a run's folder can be reached; raises what ``wait_while`` raises."""

    def missing() -> str:
        try:
            folder.names()
        except Exception as error:  # whatever the store's client raises
            time.sleep(1.0)
            return f"{folder.url}: {cause_of(error)}"
        return ""

    wait_while(missing, limit_s, watch)
