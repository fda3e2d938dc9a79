"""Search spaces: which values of a job a search chooses, and what must hold among them.

A space is read from the ``space`` section of a job: dotted path in the base -> a domain.

    optimizer.lr: {loguniform: [1.0e-4, 1.0]}
    model.width: {int: [16, 128, 16]}
    objective:
      choice:
        - cross_entropy
        - {name: z_loss, a: {uniform: [0.5, 2.0]}}

Domains are ``choice`` and ``grid`` (of single values or whole sections), ``uniform``,
``loguniform``, ``quantised``, ``int``, ``logint``, ``normal`` and ``lognormal``. Domains inside an
option have a value only in trials that take the option; the one above is the parameter
``objective[z_loss].a``.
"""

from __future__ import annotations

from trainwright.search.space.constraints import Constraint, parse_constraints, violated
from trainwright.search.space.domain import Domain, Value
from trainwright.search.space.names import named_values, unknown_names
from trainwright.search.space.numeric import LogIntegers, Normal, Steps, Uniform
from trainwright.search.space.options import Options
from trainwright.search.space.reading import Parameter
from trainwright.search.space.sampling import Sampler
from trainwright.search.space.space import Assignment, Space

__all__ = [
    "Assignment",
    "Constraint",
    "Domain",
    "LogIntegers",
    "Normal",
    "Options",
    "Parameter",
    "Sampler",
    "Space",
    "Steps",
    "Uniform",
    "Value",
    "named_values",
    "parse_constraints",
    "unknown_names",
    "violated",
]
