"""Ray's stream of a job's log, read beside whatever else is done."""

from __future__ import annotations

import asyncio
import queue
import threading
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainwright.submission.ray_jobs.client import Client


class Tail:
    """The log from its beginning, piece by piece, until the stream ends or breaks.

    Args:
        client: of the cluster.
        submission: whose log it is.
    """

    def __init__(self, client: Client, submission: str) -> None:
        self._client = client
        self._submission = submission
        self._pieces: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._loop = asyncio.new_event_loop()
        self._task = self._loop.create_task(self._read())
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def next(self, timeout_s: float) -> str | None:
        """The next piece; empty where none came in time, None where none will come."""
        try:
            return self._pieces.get(timeout=timeout_s)
        except queue.Empty:
            return ""

    def close(self) -> None:
        """End the stream."""
        with suppress(RuntimeError):  # it has ended by itself
            self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join()

    def _run(self) -> None:
        # Why it broke does not matter: whether the cluster still answers is asked elsewhere.
        with suppress(Exception, asyncio.CancelledError):
            self._loop.run_until_complete(self._task)
        self._pieces.put(None)
        self._loop.close()

    async def _read(self) -> None:
        async with aclosing(self._client.tail_job_logs(self._submission)) as stream:
            async for piece in stream:
                self._pieces.put(piece)
