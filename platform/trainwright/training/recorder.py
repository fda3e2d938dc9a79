"""Scalars of the hot loop: kept on the device, read and averaged over the workers in groups."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from trainwright.collectives import sum_over_workers

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
        """Hand over the newest progress; must not wait."""
        ...

    @property
    def stop_requested(self) -> bool:
        """Whether the user asked to stop."""
        ...


@dataclass
class _Row:
    step: int
    summed: dict[str, Tensor | float]
    plain: dict[str, float]
    late: dict[str, Tensor | float]


@dataclass
class Recorder:
    """Collects one row per update and hands rows over in groups.

    Every worker calls ``note`` once per update and flushes at the same updates: the number of
    updates to the next flush is agreed in each flush, so that flushes are about half a second
    apart and a request to stop reaches every worker at the same update.

    Attributes:
        device: where collectives run.
        world_size: number of workers.
        total_steps: updates in the whole training.
        journal: worker 0's journal, None on the others.
        monitor: worker 0's monitor, None on the others.
    """

    device: torch.device
    world_size: int
    total_steps: int
    journal: Journal | None = None
    monitor: Monitor | None = None
    last: dict[str, float] = field(default_factory=dict)
    stop_requested: bool = False
    _rows: list[_Row] = field(default_factory=list)
    _interval: int = 1
    _flushed_at: float = field(default_factory=time.perf_counter)
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

    @property
    def is_due(self) -> bool:
        """Whether enough updates have been noted to hand them over."""
        return len(self._rows) >= self._interval

    def flush(self) -> None:
        """Average over the workers, write to the journal, show progress (a collective)."""
        names = sorted({name for row in self._rows for name in row.summed})
        table = [[_number(row.summed.get(name, 0.0)) for name in names] for row in self._rows]
        elapsed = max(time.perf_counter() - self._flushed_at, 1e-9)
        wish = float(self._interval)
        if self._rows:
            wish = len(self._rows) * SECONDS_BETWEEN_FLUSHES / elapsed
        asked = self.monitor is not None and self.monitor.stop_requested
        control = [float(asked), wish if self.monitor is not None else 0.0]
        flat = torch.tensor([*control, *(x for row in table for x in row)], dtype=torch.float64)
        flat = sum_over_workers(flat, self.device)
        self.stop_requested = self.stop_requested or bool(flat[0] > 0)
        self._interval = min(max(int(flat[1]), 1), MOST_UPDATES_BETWEEN_FLUSHES)
        self._write(names, flat[2:].reshape(len(self._rows), len(names)).tolist(), elapsed)
        self._rows.clear()
        self._samples = 0
        self._flushed_at = time.perf_counter()

    def _write(self, names: list[str], values: list[list[float]], elapsed: float) -> None:
        for row, numbers in zip(self._rows, values, strict=True):
            kept = {n: v for n, v in zip(names, numbers, strict=True) if n in row.summed}
            late = {name: _number(value) for name, value in row.late.items()}
            self.last = {**kept, **row.plain, **late}
            if self.journal is not None:
                self.journal.metrics(row.step, self.last)
        if self.monitor is None or not self._rows:
            return
        speed = self._samples / elapsed
        step = self._rows[-1].step
        if self.journal is not None:
            pace = elapsed / len(self._rows)
            self.journal.metrics(
                step, {"system/samples_per_second": speed, "system/seconds_per_step": pace}
            )
        self.monitor.show(
            {
                "step": step,
                "total_steps": self.total_steps,
                "samples_per_second": speed,
                "seconds_per_step": elapsed / len(self._rows),
                "loss": self.last.get("train/loss"),
            }
        )

    def pause(self) -> None:
        """Restart the clock after work that is not training (evaluation, a checkpoint)."""
        self._flushed_at = time.perf_counter()


def _number(value: Tensor | float) -> float:
    return float(value.detach()) if isinstance(value, Tensor) else float(value)
