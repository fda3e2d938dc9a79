"""One step of LV-HBA with a model, for strategies that say what the upper variables are."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from trainwright.strategy import Batch, Gradient, Loss, Step, Strategy, Stream
from trainwright_strategies.bilevel.value_function import (
    Rates,
    descent_y,
    descent_z,
    saddle_multiplier,
    saddle_theta,
)

ANOTHER_STEP = "each takes the model's step in its own way"
"""Why two methods of this kind cannot stand in one job."""


class TwoLevels(Strategy):
    """Model weights y below, other variables x above; theta, lambda and z stand between them.

    F is the loss of validation samples, f that of training samples. The model's own step is that
    of the job's optimizer.

    Args:
        rates: of the method; ``alpha`` is left to the subclass, for x alone.
        num_constraints: l, of the lower level.
    """

    upper_stream: ClassVar[str]
    """Name of the stream of the upper level's samples."""

    def __init__(self, rates: Rates, num_constraints: int) -> None:
        self.rates = rates
        self._theta: Gradient | None = None
        self._multiplier = torch.zeros(num_constraints, dtype=torch.float64)
        self._z = self._multiplier.clone()
        self._is_upper = False

    @abstractmethod
    def move(self, step: Step, y: Gradient, theta: Gradient) -> None:
        """Move x, by the old y and the new theta, then x and the weights to where they may be."""

    @abstractmethod
    def constraint(self, theta: Gradient) -> tuple[Tensor, Gradient]:
        """g(x, theta) of shape (l,), and the sum of its gradients with the multipliers.

        Asked for where l is above 0.
        """

    def regularised(self, gradient: Gradient, at: Gradient) -> Gradient:
        """The gradient of f from that of the training loss, both taken at ``at``."""
        return gradient

    def compare(self, step: Step, shift: Gradient) -> None:
        """Look at the new theta, which is y moved by ``shift``, before y moves."""

    def streams(self) -> Mapping[str, Stream]:
        """The validation samples, as evaluation sees them."""
        return {self.upper_stream: Stream(split="validation", training=False)}

    def step(self, step: Step, take: Callable[[], None]) -> None:
        """One step of all variables; the model's own by the optimizer."""
        of_loss = self.lower(step)
        y = Gradient(step.master(list(of_loss)))
        lower = self.regularised(of_loss, y)
        theta = self._follow(step, y, self._held(y))
        self.compare(step, theta - y)
        direction = descent_y(self._upper(step), lower, theta, y, self.rates, step.index)
        step.set_gradient(direction)
        step.update()
        self.move(step, y, theta)
        down = descent_z(self._multiplier, self._z, self.rates)
        self._z = self.rates.project(self._z - self.rates.beta * down)
        self._theta = theta

    def lower(
        self,
        step: Step,
        shift: Gradient | None = None,
        loss: Callable[[Batch], Loss] | None = None,
    ) -> Gradient:
        """The gradient of the training loss at y, or away from it."""
        if shift is not None:
            step.perturb(shift)
        gradient = step.gradient(loss, statistics=shift is None)
        step.restore()
        return gradient

    def _upper(self, step: Step) -> Gradient:
        self._is_upper = True
        gradient = step.gradient(batches=[step.next(self.upper_stream)])
        self._is_upper = False
        return gradient

    def _follow(self, step: Step, y: Gradient, theta: Gradient) -> Gradient:
        """One step of theta and lambda, both from where they are."""
        gradient = self.regularised(self.lower(step, theta - y), theta)
        rates = self.rates
        if len(self._multiplier):
            values, pull = self.constraint(theta)
            gradient = gradient + pull
            down = saddle_multiplier(values.cpu(), self._multiplier, self._z, rates)
            self._multiplier = rates.project(self._multiplier - rates.eta * down)
        return theta - rates.eta * saddle_theta(gradient, theta, y, rates)

    def _held(self, y: Gradient) -> Gradient:
        """Theta, which begins at y, where the weights are."""
        if self._theta is None:
            return y.clone()
        return Gradient({name: value.to(y[name]) for name, value in self._theta.items()})

    def state_dict(self) -> dict[str, Any]:
        """Theta and the multipliers."""
        theta = {} if self._theta is None else dict(self._theta)
        return {"theta": theta, "multiplier": self._multiplier, "z": self._z}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back ``state_dict``."""
        self._theta = Gradient(state["theta"]) if state["theta"] else None
        self._multiplier, self._z = state["multiplier"], state["z"]
