"""The journal's writing side: training appends to memory, a thread appends to the store."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from types import TracebackType

from trainwright.secrets import mask
from trainwright.storage import Folder
from trainwright.tracking.rows import (
    AttemptRow,
    EventRow,
    FigureRow,
    HistogramRow,
    MetricsRow,
    Row,
    SamplesRow,
    encode,
)
from trainwright.tracking.sinks import LocalSink, SegmentSink, open_sink

_log = logging.getLogger(__name__)

MAX_PENDING_ROWS = 200_000
"""Rows kept in memory while the store fails (about 100 MB of metrics); beyond that the oldest
are dropped, and an event row says how many."""

MAX_PENDING_FIGURES = 100
"""Pictures kept in memory while the store fails; beyond that the oldest are dropped."""

_CHUNK_BYTES = 1 << 20
_FIRST_RETRY_S = 0.5
_LAST_RETRY_S = 15.0


class JournalWriter:
    """Writes one attempt's journal without ever waiting for disk or network.

    ``metrics``, ``samples`` and the like cost microseconds and never raise on account of the
    store. A daemon thread serialises and writes twice a second (object stores: every 5 s); a
    failing store is retried with backoff while rows wait in memory. Rows reach the operating
    system within that interval, so that a killed process loses at most its last moments;
    ``flush`` before a checkpoint makes certain that none of the steps it holds is lost.

    Args:
        folder: the run folder.
        attempt: number of this attempt, from 1, used by no other writer (``next_attempt``).
        lineage: ``[[attempt, last_step], ...]``, the past of this attempt (``continue_lineage``).
        world_size: number of training processes.
        interval_s: seconds between writes; default 0.5 locally and 5 on object stores.
    """

    def __init__(
        self,
        folder: Folder,
        attempt: int,
        lineage: Sequence[Sequence[int]],
        world_size: int,
        *,
        interval_s: float | None = None,
        max_pending_rows: int = MAX_PENDING_ROWS,
    ) -> None:
        self.attempt = attempt
        self._folder = folder
        self._header = AttemptRow(
            kind="attempt",
            attempt=attempt,
            time=_now_ms(),
            lineage=[[int(past), int(step)] for past, step in lineage],
            world_size=world_size,
        )
        self._interval_s = interval_s or (0.5 if folder.is_local else 5.0)
        self._rows: deque[Row] = deque(maxlen=max_pending_rows)
        self._capacity = max_pending_rows
        self._num_dropped = 0
        self._figures: deque[tuple[str, bytes]] = deque(maxlen=MAX_PENDING_FIGURES)
        self._pending = b""
        self._sink: LocalSink | SegmentSink | None = None
        self._error: str | None = None
        self._flushes: deque[threading.Event] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    @property
    def error(self) -> str | None:
        """Why the store refuses rows at present; None while all is well."""
        return self._error

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Record scalar values of one step; plain numbers, nan and inf included."""
        row = MetricsRow(
            kind="metrics", attempt=self.attempt, time=_now_ms(), step=step, values=dict(values)
        )
        self._put(row)

    def samples(self, step: int, ids: Sequence[int]) -> None:
        """Record the ids of the samples that one update consumed; arrays and tensors too."""
        plain = ids.tolist() if hasattr(ids, "tolist") else list(ids)
        self._put(SamplesRow(kind="samples", attempt=self.attempt, step=step, ids=plain))

    def event(self, message: str, step: int | None = None) -> None:
        """Record something worth a sentence."""
        row = EventRow(
            kind="event", attempt=self.attempt, time=_now_ms(), step=step, message=mask(message)
        )
        self._put(row)

    def histogram(
        self, step: int, name: str, low: float, high: float, counts: Sequence[int]
    ) -> None:
        """Record how the values of a quantity are spread at one step, in equal bins."""
        row = HistogramRow(
            kind="histogram",
            attempt=self.attempt,
            time=_now_ms(),
            step=step,
            name=name,
            low=low,
            high=high,
            counts=list(counts),
        )
        self._put(row)

    def figure(self, step: int, name: str, content: bytes) -> None:
        """Record a picture (PNG); it is stored under ``figures/`` and named by a row."""
        file = figure_name(name, step)
        self._figures.append((file, content))
        row = FigureRow(
            kind="figure", attempt=self.attempt, time=_now_ms(), step=step, name=name, file=file
        )
        self._put(row)

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Wait until everything recorded so far is on the store and synced.

        Returns:
            Whether that happened in time. False loses nothing: the rows are retried.
        """
        if not self._thread.is_alive():
            return False
        done = threading.Event()
        self._flushes.append(done)
        self._wake.set()
        return done.wait(timeout_s)

    def close(self, timeout_s: float = 10.0) -> bool:
        """Write what is left and stop; later calls record nothing.

        Returns:
            Whether all rows reached the store in time; if not, the rest is given up.
        """
        complete = self.flush(timeout_s)
        self._closing = True
        self._wake.set()
        self._thread.join(timeout_s)
        if not complete:
            _log.warning("journal of attempt %d is incomplete: %s", self.attempt, self._error)
        return complete

    def __enter__(self) -> JournalWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _put(self, row: Row) -> None:
        if len(self._rows) >= self._capacity:
            self._num_dropped += 1
        self._rows.append(row)

    def _run(self) -> None:
        delay = self._interval_s
        while not self._closing:
            self._wake.wait(delay)
            self._wake.clear()
            waiting = len(self._flushes)
            if self._write_queued(sync=waiting > 0):
                delay = self._interval_s
                for _ in range(waiting):
                    self._flushes.popleft().set()
            else:
                delay = min(_LAST_RETRY_S, max(_FIRST_RETRY_S, delay * 2))
        if self._sink is not None:
            self._sink.close()

    def _write_queued(self, *, sync: bool) -> bool:
        """Hand all queued rows to the store; False when it refused, with the rest kept."""
        try:
            if self._sink is None:
                self._sink = open_sink(self._folder, self.attempt)
                if self._sink.size == 0:
                    self._pending = encode(self._header)
            while self._figures:
                file, content = self._figures[0]
                self._folder.write_bytes(file, content)
                self._figures.popleft()
            while self._pending or self._rows:
                self._pending = self._pending or self._next_chunk()
                self._sink.append(self._pending)
                self._pending = b""
            if sync:
                self._sink.sync()
        except Exception as error:  # a store's client may raise anything; training must go on
            if self._error is None:
                _log.warning("journal of attempt %d cannot be written: %s", self.attempt, error)
            self._error = f"{type(error).__name__}: {error}"
            return False
        self._error = None
        return True

    def _next_chunk(self) -> bytes:
        lines: list[bytes] = []
        size = 0
        if self._num_dropped:
            count, self._num_dropped = self._num_dropped, 0
            lines.append(self._complaint(f"{count} rows were dropped while the store failed"))
        while self._rows and size < _CHUNK_BYTES:
            row = self._rows.popleft()
            try:
                line = encode(row)
            except (TypeError, ValueError) as error:
                line = self._complaint(f"a {row['kind']} row could not be written: {error}")
            lines.append(line)
            size += len(line)
        return b"".join(lines)

    def _complaint(self, message: str) -> bytes:
        _log.warning("journal of attempt %d: %s", self.attempt, message)
        return encode(
            EventRow(kind="event", attempt=self.attempt, time=_now_ms(), step=None, message=message)
        )


def figure_name(name: str, step: int | None = None) -> str:
    """Where the picture of that name lies, relative to the run folder."""
    safe = re.sub(r"[^A-Za-z0-9.-]+", "-", name)
    return f"figures/{safe}.png" if step is None else f"figures/{safe}-{step:08d}.png"


def leave_note(folder: Folder, attempt: int, message: str) -> str:
    """Record an event from a process that does not own the attempt's journal.

    The event gets a file of its own, because only the owner may append to the attempt's.

    Returns:
        The file's name relative to the run folder.

    Raises:
        Exception: whatever the store's client raises.
    """
    now = _now_ms()
    row = EventRow(kind="event", attempt=attempt, time=now, step=None, message=mask(message))
    name = f"journal/note-{now}-{threading.get_native_id():x}.jsonl"
    folder.write_bytes(name, encode(row))
    return name


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
