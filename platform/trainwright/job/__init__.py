"""Job files: reading, checking and naming them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainwright.job.load import Job
    from trainwright.job.models import TrainJob

__all__ = ["Job", "TrainJob"]


def __getattr__(name: str) -> Any:
    """Import the class that is asked for, and nothing before."""
    if name == "Job":
        from trainwright.job.load import Job

        return Job
    if name == "TrainJob":
        from trainwright.job.models import TrainJob

        return TrainJob
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
