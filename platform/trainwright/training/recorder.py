"""Scalars of the hot loop: kept on the device, read and averaged over the workers in groups."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from trainwright.collectives import begin_sum_over_workers

SECONDS_BETWEEN_FLUSHES = 0.5
MOST_UPDATES_BETWEEN_FLUSHES = 64


class Journal(Protocol):
    """What the recorder needs of a journal; only worker 0 has one."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Append one row of scalars."""
        ...

    def samples(self, step: int, ids: list[int]) -> None:
        """Append the sample ids of one update."""
        ...

    def histogram(self, step: int, name: str, low: float, high: float, counts: list[int]) -> None:
        """Append the histogram of one quantity."""
        ...

    def figure(self, step: int, name: str, content: bytes) -> None:
        """Store a PNG image."""
        ...

    def event(self, message: str, step: int | None = None) -> None:
        """Append a remark."""
        ...


class Monitor(Protocol):
    """Worker 0's line to whoever watches: progress out, a request to stop in."""

    def show(self, progress: Mapping[str, Any]) -> None:
        """Hand over the newest progress.

        Waits for nothing; but one that decides whether training goes on may hold it at a
        ``milestone``, and end it there by an exception.
        """
        ...

    @property
    def stop_requested(self) -> bool:
        """Whether the user asked to stop."""
        ...

    @property
    def needs_checkpoints(self) -> bool:
        """Whether a checkpoint must be whole before its milestone is shown; one worker only."""
        ...


class Saves(Protocol):
    """Checkpoints under way."""

    @property
    def has_failed(self) -> bool:
        """Whether one is known to have failed on this worker."""
        ...

    def settle(self) -> None:
        """Agree on what became of it (a collective)."""
        ...


@dataclass
class _Row:
    step: int
    summed: dict[str, Tensor | float]
    plain: dict[str, float]
    late: dict[str, Tensor | float]


@dataclass
class _Exchange:
    """Rows whose sums over the workers are under way.

    Attributes:
        rows: one for each update.
        names: of the summed values, in the order of the table.
        sums: waits for three control values and the table.
        samples: of these updates, over all workers.
        seconds: that these updates took.
    """

    rows: list[_Row]
    names: list[str]
    sums: Callable[[], Tensor]
    samples: int
    seconds: float


@dataclass
class Recorder:
    """Collects one row per update and hands rows over in groups.

    Every worker calls ``note`` and ``pass_on`` once per update, and they pass rows on at the same
    updates: how many to wait for is agreed each time, so that it happens about twice a second and
    a request to stop reaches every worker at the same update. The workers' sums are added up
    while the update that follows is computed.

    Attributes:
        device: where collectives run.
        world_size: number of workers.
        total_steps: updates in the whole training.
        journal: worker 0's journal, None on the others.
        monitor: worker 0's monitor, None on the others.
        judges_gradients: whether a gradient norm that is not finite is a fault.
        saves: looked after when one of them has failed on any worker.
        broken: the first update whose loss or gradient norm is not finite, counted from 1, and
            what was found; the same on all workers.
    """

    device: torch.device
    world_size: int
    total_steps: int
    journal: Journal | None = None
    monitor: Monitor | None = None
    last: dict[str, float] = field(default_factory=dict)
    stop_requested: bool = False
    judges_gradients: bool = True
    saves: Saves | None = None
    broken: tuple[int, str] | None = None
    _rows: list[_Row] = field(default_factory=list)
    _interval: int = 1
    _exchange: _Exchange | None = None
    _passed_at: float = field(default_factory=time.perf_counter)
    _samples: int = 0

    def note(
        self,
        step: int,
        summed: dict[str, Tensor | float],
        plain: dict[str, float],
        late: dict[str, Tensor | float],
        samples: int,
    ) -> None:
        """Keep one update's row.

        Args:
            step: number of updates finished.
            summed: this worker's parts of global sums (losses already weighted by their share).
            plain: values known on the host and equal on all workers (learning rate).
            late: values equal on all workers that may still be on the device (gradient norm).
            samples: samples of the update over all workers.
        """
        self._rows.append(_Row(step, summed, plain, late))
        self._samples += samples

    def pass_on(self) -> None:
        """Begin to pass rows on when enough are there, or end what the last update began.

        A collective whose sums are read one update later; then it writes to the journal and
        shows progress.
        """
        if self._exchange is not None:
            self._end(self._exchange)
        elif len(self._rows) >= self._interval:
            self._begin()

    def flush(self) -> None:
        """Pass on all rows there are (a collective)."""
        if self._exchange is not None:
            self._end(self._exchange)
        self._end(self._begin())

    def _begin(self) -> _Exchange:
        names = sorted({name for row in self._rows for name in row.summed})
        table = [[_number(row.summed.get(name, 0.0)) for name in names] for row in self._rows]
        elapsed = max(time.perf_counter() - self._passed_at, 1e-9)
        wish = float(self._interval)
        if self._rows:
            wish = len(self._rows) * SECONDS_BETWEEN_FLUSHES / elapsed
        asked = self.monitor is not None and self.monitor.stop_requested
        failed = self.saves is not None and self.saves.has_failed
        control = [float(asked), wish if self.monitor is not None else 0.0, float(failed)]
        flat = torch.tensor([*control, *(x for row in table for x in row)], dtype=torch.float64)
        sums = begin_sum_over_workers(flat, self.device)
        self._exchange = _Exchange(self._rows, names, sums, self._samples, elapsed)
        self._rows, self._samples = [], 0
        self._passed_at = time.perf_counter()
        return self._exchange

    def _end(self, exchange: _Exchange) -> None:
        self._exchange = None
        flat = exchange.sums()
        self.stop_requested = self.stop_requested or bool(flat[0] > 0)
        self._interval = min(max(int(flat[1]), 1), MOST_UPDATES_BETWEEN_FLUSHES)
        table = flat[3:].reshape(len(exchange.rows), len(exchange.names)).tolist()
        for row, numbers in zip(exchange.rows, table, strict=True):
            kept = {n: v for n, v in zip(exchange.names, numbers, strict=True) if n in row.summed}
            late = {name: _number(value) for name, value in row.late.items()}
            self.last = {**kept, **row.plain, **late}
            self.broken = self.broken or self._broken(row.step)
            if self.journal is not None:
                self.journal.metrics(row.step, self.last)
        if self.monitor is not None and exchange.rows:
            self._show(exchange, self.monitor)
        if flat[2] > 0 and self.saves is not None:
            self.saves.settle()

    def _broken(self, step: int) -> tuple[int, str] | None:
        loss = self.last.get("train/loss", 0.0)
        if not math.isfinite(loss):
            return step, f"the loss of update {step} is {loss}"
        norm = self.last.get("train/grad_norm", 0.0) if self.judges_gradients else 0.0
        if not math.isfinite(norm):
            return step, f"the gradient norm of update {step} is {norm}"
        return None

    def _show(self, exchange: _Exchange, monitor: Monitor) -> None:
        step, pace = exchange.rows[-1].step, exchange.seconds / len(exchange.rows)
        speed = exchange.samples / exchange.seconds
        if self.journal is not None:
            self.journal.metrics(
                step,
                {
                    "system/samples_per_second": speed,
                    "system/seconds_per_step": pace,
                    "system/workers": float(self.world_size),
                },
            )
        monitor.show(
            {
                "step": step,
                "total_steps": self.total_steps,
                "samples_per_second": speed,
                "seconds_per_step": pace,
                "loss": self.last.get("train/loss"),
            }
        )

    def pause(self) -> None:
        """Restart the clock after work that is not training (evaluation, a checkpoint)."""
        self._passed_at = time.perf_counter()


def _number(value: Tensor | float) -> float:
    return float(value.item() if isinstance(value, Tensor) else value)
