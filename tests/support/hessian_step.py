"""A loss of named parameters as a training step hands it out, with Hessian products."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from trainwright.strategy import Gradient, Loss


class HessianStep(SimpleNamespace):
    """A loss of named parameters, with the Hessian products of a training step."""

    def __init__(self, loss: Any, parameters: dict[str, Tensor], rate: float) -> None:
        super().__init__(index=0, learning_rates=[rate])
        self._loss, self._parameters = loss, parameters

    def master(self, names: list[str]) -> dict[str, Tensor]:
        return {name: self._parameters[name] for name in names}

    def loss(self, batch: Any) -> Loss:
        return Loss(self._loss({n: p.requires_grad_() for n, p in self._parameters.items()}))

    def hvp(self, vector: Gradient, loss: Any, batches: Any) -> Gradient:
        inputs = list(self._parameters.values())
        first = torch.autograd.grad(loss({}).value, inputs, create_graph=True)
        names = list(self._parameters)
        inner = sum((g * vector[n]).sum() for n, g in zip(names, first, strict=True))
        second = torch.autograd.grad(inner, inputs)
        return Gradient(dict(zip(names, second, strict=True)))
