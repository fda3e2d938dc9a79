"""Training with another objective first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import Field
from torch import nn

from trainwright.plugins.markers import Nested
from trainwright.strategy import Declares, Fit, Strategy
from trainwright_objectives.options import check_whole


class Pretraining(Strategy):
    """Train with another objective first, then with the job's: pretraining.

    For objectives that need a start, such as ``betti_matching``, which compares structures that
    are roughly there. Optimizer and schedule begin anew when the objective changes.

    Equation:
        ``epochs`` epochs on ``objective``, then the job's ``training`` on its own.

    Args:
        objective: the first one, by name with options; without parameters.
        epochs: how long, at least 0; 0 changes nothing.
        lr: learning rate meanwhile, above 0; None for that of the job.

    Needs:
        Outputs and columns that both objectives find by the names of their arguments.

    Measured:
        An epoch costs what one with that objective costs. See ``betti_matching.yaml``.

    Source:
        Common practice; for ``betti_matching`` see N. Stucki and others, 2023, arXiv 2211.15272.

    Raises:
        ValueError: an option is out of range.
    """

    declares = Declares(neutral={"epochs": 0})

    def __init__(
        self,
        objective: Annotated[Callable[..., nn.Module], Nested("objectives")],
        epochs: Annotated[int, Field(ge=0)] = 10,
        lr: Annotated[float, Field(gt=0)] | None = None,
    ) -> None:
        check_whole("epochs", epochs, 0)
        if lr is not None and not lr > 0:
            raise ValueError(f"lr must be None or a number above 0, got {lr!r}")
        self.first = objective()
        self.epochs = epochs
        self.lr = lr

    def run(self, fit: Fit) -> None:
        """Two phases, ``pretraining`` and the job's own."""
        if self.epochs:
            rate = None if self.lr is None else {"lr": self.lr}
            fit("pretraining", epochs=self.epochs, objective=self.first, optimizer=rate)
        fit()
