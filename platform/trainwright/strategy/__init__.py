"""The protocol that strategies are written against, and how several act as one."""

from trainwright.strategy.base import (
    Batch,
    Compute,
    Gradients,
    Loss,
    Outputs,
    ParameterGroup,
    Plan,
    Step,
    Strategy,
)
from trainwright.strategy.context import Context
from trainwright.strategy.declares import Declares
from trainwright.strategy.phases import Fit, PhaseResult

__all__ = [
    "Batch",
    "Compute",
    "Context",
    "Declares",
    "Fit",
    "Gradients",
    "Loss",
    "Outputs",
    "ParameterGroup",
    "PhaseResult",
    "Plan",
    "Step",
    "Strategy",
]
