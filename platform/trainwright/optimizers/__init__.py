"""Optimizers: torch's and any other class that is a ``torch.optim.Optimizer``."""

from trainwright.optimizers.building import build_optimizer, without_compiler
from trainwright.optimizers.elementwise import is_elementwise

__all__ = ["build_optimizer", "is_elementwise", "without_compiler"]
