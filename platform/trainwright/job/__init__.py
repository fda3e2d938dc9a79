"""Job files: reading, checking and naming them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainwright.lazy import importer

if TYPE_CHECKING:
    from trainwright.job.load import Job
    from trainwright.job.models import TrainJob

__all__ = ["Job", "TrainJob"]

__getattr__ = importer(
    __name__, {"trainwright.job.load": ("Job",), "trainwright.job.models": ("TrainJob",)}
)
