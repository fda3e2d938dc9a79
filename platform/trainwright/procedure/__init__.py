"""Jobs of kind ``procedure``: methods that do not train one model by steps.

What procedures are written against is exported here; it is imported when it is first used, for a
job's form is read without PyTorch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainwright.lazy import importer

if TYPE_CHECKING:
    from trainwright.data.random import generator
    from trainwright.procedure.base import Procedure
    from trainwright.procedure.context import ProcedureContext
    from trainwright.procedure.data import JobData
    from trainwright.procedure.inputs import Inputs
    from trainwright.procedure.trained import TrainedRun
    from trainwright.procedure.variation import Variation
    from trainwright.storage import Folder

__all__ = [
    "Folder",
    "Inputs",
    "JobData",
    "Procedure",
    "ProcedureContext",
    "TrainedRun",
    "Variation",
    "generator",
]

__getattr__ = importer(
    __name__,
    {
        "trainwright.data.random": ("generator",),
        "trainwright.procedure.base": ("Procedure",),
        "trainwright.procedure.context": ("ProcedureContext",),
        "trainwright.procedure.data": ("JobData",),
        "trainwright.procedure.inputs": ("Inputs",),
        "trainwright.procedure.trained": ("TrainedRun",),
        "trainwright.procedure.variation": ("Variation",),
        "trainwright.storage": ("Folder",),
    },
)
