"""Jobs of kind ``procedure``: methods that do not train one model by steps.

What procedures are written against is exported here.
"""

from trainwright.procedure.base import Procedure
from trainwright.procedure.context import ProcedureContext
from trainwright.procedure.data import JobData
from trainwright.procedure.inputs import Inputs, generator
from trainwright.procedure.trained import TrainedRun

__all__ = [
    "Inputs",
    "JobData",
    "Procedure",
    "ProcedureContext",
    "TrainedRun",
    "generator",
]
