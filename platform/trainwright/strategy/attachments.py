"""Histograms and figures that strategies log: counted over the workers, rendered on worker 0."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from trainwright.collectives import sum_over_workers
from trainwright.strategy.gathering import gather_rows

NUM_BINS = 64


class Attaching(Protocol):
    """What is needed of a journal; only worker 0 has one."""

    def histogram(self, step: int, name: str, low: float, high: float, counts: list[int]) -> None:
        """Append the histogram of one quantity."""
        ...

    def figure(self, step: int, name: str, content: bytes) -> None:
        """Store a PNG image."""
        ...


@dataclass
class Attachments:
    """What was logged since the last update, until the loop hands it to the journal.

    Attributes:
        histograms: name -> values on this worker.
        figures: name -> PNG image; on worker 0 only.
    """

    histograms: dict[str, Tensor] = field(default_factory=dict)
    figures: dict[str, bytes] = field(default_factory=dict)

    def hand_over(self, journal: Attaching | None, step: int, device: torch.device) -> None:
        """Write everything to the journal (a collective if histograms were logged)."""
        if not self.histograms and not self.figures:
            return
        histograms, self.histograms = self.histograms, {}
        figures, self.figures = self.figures, {}
        for name in sorted(histograms):
            low, high, counts = global_histogram(histograms[name], device)
            if journal is not None and counts:
                journal.histogram(step, name, low, high, counts)
        if journal is not None:
            for name, content in figures.items():
                journal.figure(step, name, content)


def global_histogram(values: Tensor, device: torch.device) -> tuple[float, float, list[int]]:
    """The histogram of all workers' values in equal bins (a collective).

    Args:
        values: this worker's, any shape; those that are no finite numbers are left out.
        device: where collectives run.

    Returns:
        Lower end of the first bin, upper end of the last, and the counts; no counts when no
        worker has a finite value.
    """
    flat = values.detach().reshape(-1).double()
    flat = flat[torch.isfinite(flat)]
    far = float("inf")
    ends = [float(flat.min()), float(flat.max())] if len(flat) else [far, -far]
    everyone = gather_rows(torch.tensor([ends], dtype=torch.float64, device=device))
    low, high = float(everyone[:, 0].min()), float(everyone[:, 1].max())
    if low > high:
        return 0.0, 0.0, []
    if low == high:
        low, high = low - 0.5, high + 0.5
    place = ((flat - low) / (high - low) * NUM_BINS).long().clamp(0, NUM_BINS - 1)
    own = torch.bincount(place, minlength=NUM_BINS)
    return low, high, [int(count) for count in sum_over_workers(own, device)]


def png_of(figure: Any) -> bytes:
    """A matplotlib figure or a PIL image as PNG.

    Raises:
        TypeError: it is neither.
    """
    content = io.BytesIO()
    if hasattr(figure, "savefig"):
        figure.savefig(content, format="png")
    elif hasattr(figure, "save"):
        figure.save(content, format="PNG")
    else:
        raise TypeError(f"a figure is a matplotlib Figure or a PIL Image, got {type(figure)}")
    return content.getvalue()
