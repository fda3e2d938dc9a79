"""Trainwright: published training methods as plugins, on one laptop or a Ray cluster.

Everything in ``__all__`` is public. Names are imported when they are first used, so that
``import trainwright`` itself loads no library.

Example:
    >>> import trainwright
    >>> trainwright.create("objectives", "z_loss", a=1.0)
    ZLoss(a=1, b=0)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainwright.lazy import importer

if TYPE_CHECKING:
    from trainwright.api import diff as diff
    from trainwright.api import evaluate as evaluate
    from trainwright.api import export as export
    from trainwright.api import list_runs as list_runs
    from trainwright.api import predict as predict
    from trainwright.api import run as run
    from trainwright.api import sync as sync
    from trainwright.api import validate as validate
    from trainwright.compare.results import Comparison as Comparison
    from trainwright.data.table import Column as Column
    from trainwright.data.table import Table as Table
    from trainwright.differing import RunDiff as RunDiff
    from trainwright.errors import CheckpointError as CheckpointError
    from trainwright.errors import DataError as DataError
    from trainwright.errors import InputError as InputError
    from trainwright.errors import Interrupted as Interrupted
    from trainwright.errors import JobError as JobError
    from trainwright.errors import PluginError as PluginError
    from trainwright.errors import Problem as Problem
    from trainwright.errors import RunError as RunError
    from trainwright.errors import TrackingError as TrackingError
    from trainwright.errors import TrainwrightError as TrainwrightError
    from trainwright.job import Job as Job
    from trainwright.orchestration.evaluating import Evaluated as Evaluated
    from trainwright.orchestration.exporting import Exported as Exported
    from trainwright.orchestration.predicting import Predicted as Predicted
    from trainwright.orchestration.result import RunResult as RunResult
    from trainwright.orchestration.validation import Validation as Validation
    from trainwright.overview import RunOverview as RunOverview
    from trainwright.plugins import create as create
    from trainwright.procedure import Inputs as Inputs
    from trainwright.procedure import Procedure as Procedure
    from trainwright.procedure import ProcedureContext as ProcedureContext
    from trainwright.procedure import TrainedRun as TrainedRun
    from trainwright.strategy import Context as Context
    from trainwright.strategy import Declares as Declares
    from trainwright.strategy import Loss as Loss
    from trainwright.strategy import Strategy as Strategy
    from trainwright.tracking import SyncReport as SyncReport

__version__ = "0.1.0"

_HOMES = {
    "trainwright.api": (
        "diff",
        "evaluate",
        "export",
        "list_runs",
        "predict",
        "run",
        "sync",
        "validate",
    ),
    "trainwright.compare.results": ("Comparison",),
    "trainwright.differing": ("RunDiff",),
    "trainwright.data.table": ("Column", "Table"),
    "trainwright.errors": (
        "CheckpointError",
        "DataError",
        "InputError",
        "Interrupted",
        "JobError",
        "PluginError",
        "Problem",
        "RunError",
        "TrackingError",
        "TrainwrightError",
    ),
    "trainwright.job": ("Job",),
    "trainwright.orchestration.evaluating": ("Evaluated",),
    "trainwright.orchestration.exporting": ("Exported",),
    "trainwright.orchestration.predicting": ("Predicted",),
    "trainwright.orchestration.result": ("RunResult",),
    "trainwright.orchestration.validation": ("Validation",),
    "trainwright.overview": ("RunOverview",),
    "trainwright.plugins": ("create",),
    "trainwright.procedure": ("Inputs", "Procedure", "ProcedureContext", "TrainedRun"),
    "trainwright.strategy": ("Context", "Declares", "Loss", "Strategy"),
    "trainwright.tracking": ("SyncReport",),
}

__all__ = [
    "CheckpointError",
    "Column",
    "Comparison",
    "Context",
    "DataError",
    "Declares",
    "Evaluated",
    "Exported",
    "InputError",
    "Inputs",
    "Interrupted",
    "Job",
    "JobError",
    "Loss",
    "PluginError",
    "Predicted",
    "Problem",
    "Procedure",
    "ProcedureContext",
    "RunDiff",
    "RunError",
    "RunOverview",
    "RunResult",
    "Strategy",
    "SyncReport",
    "Table",
    "TrackingError",
    "TrainedRun",
    "TrainwrightError",
    "Validation",
    "__version__",
    "create",
    "diff",
    "evaluate",
    "export",
    "list_runs",
    "predict",
    "run",
    "sync",
    "validate",
]


__getattr__ = importer(__name__, _HOMES)


def __dir__() -> list[str]:
    """The public names."""
    return list(__all__)
