"""The protocol that strategies are written against, and how several act as one."""

from trainwright.strategy.base import (
    Batch,
    Compute,
    Loss,
    Outputs,
    ParameterGroup,
    Strategy,
)
from trainwright.strategy.context import Context
from trainwright.strategy.declares import Declares
from trainwright.strategy.evaluation import Evaluation
from trainwright.strategy.further import AuxModel, RunningModel, Stream
from trainwright.strategy.gradient import Gradient, Gradients
from trainwright.strategy.order import Order
from trainwright.strategy.phases import Fit, PhaseResult
from trainwright.strategy.plan import Plan
from trainwright.strategy.sample_random import SampleRandom
from trainwright.strategy.samples import Samples
from trainwright.strategy.step import Step
from trainwright.strategy.tables import SampleTable

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
    "Order",
    "Outputs",
    "ParameterGroup",
    "PhaseResult",
    "Plan",
    "RunningModel",
    "SampleRandom",
    "SampleTable",
    "Samples",
    "Step",
    "Strategy",
    "Stream",
]
