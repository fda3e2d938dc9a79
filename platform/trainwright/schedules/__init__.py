"""Learning rate over time: pure functions of the update, with no state to store."""

from trainwright.schedules.constant import Constant
from trainwright.schedules.cosine import Cosine
from trainwright.schedules.inverse_sqrt import InverseSqrt
from trainwright.schedules.linear import Linear
from trainwright.schedules.one_cycle import OneCycle
from trainwright.schedules.polynomial import Polynomial
from trainwright.schedules.protocol import Factor, Schedule
from trainwright.schedules.span import Share, Span, in_steps
from trainwright.schedules.step import Step

__all__ = [
    "Constant",
    "Cosine",
    "Factor",
    "InverseSqrt",
    "Linear",
    "OneCycle",
    "Polynomial",
    "Schedule",
    "Share",
    "Span",
    "Step",
    "in_steps",
]
