"""The protocol that strategies are written against, and how several act as one."""

from trainwright.strategy.base import (
    Batch,
    Compute,
    Gradients,
    Loss,
    Outputs,
    ParameterGroup,
    Plan,
    Strategy,
)
from trainwright.strategy.context import Context
from trainwright.strategy.declares import Declares
from trainwright.strategy.evaluation import Evaluation
from trainwright.strategy.further import AuxModel, Stream
from trainwright.strategy.gradient import Gradient
from trainwright.strategy.phases import Fit, PhaseResult
from trainwright.strategy.samples import Samples
from trainwright.strategy.step import Step

__all__ = [
    "AuxModel",
    "Batch",
    "Compute",
    "Context",
    "Declares",
    "Evaluation",
    "Fit",
    "Gradient",
    "Gradients",
    "Loss",
    "Outputs",
    "ParameterGroup",
    "PhaseResult",
    "Plan",
    "Samples",
    "Step",
    "Strategy",
    "Stream",
]
