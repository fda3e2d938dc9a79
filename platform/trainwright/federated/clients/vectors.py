"""A module whose weights are one flat vector, and whose gradient is another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from trainwright.engine.module import TrainModule, public_name
from trainwright.federated.layout import Layout
from trainwright.strategy import Batch, Outputs


class VectorModule:
    """Gives a module's trained parameters and its floating-point buffers flat storage.

    Parameters, their gradients and buffers of the module become views: to move the vector moves
    the module, without a copy.

    Attributes:
        module: model and objective.
        layout: of the trained parameters, by public name.
        buffer_layout: of the floating-point buffers, by public name.
        weights: shape (d,), float32.
        gradient: shape (d,); ``backward`` adds to it.
        buffers: shape (q,), float32.
        counters: the other buffers, by public name.
    """

    def __init__(self, module: TrainModule) -> None:
        self.module = module
        named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
        every = {public_name(name): buffer for name, buffer in module.named_buffers()}
        floating = {name: b for name, b in every.items() if b.is_floating_point()}
        self.counters = {name: b for name, b in every.items() if name not in floating}
        self._places = _places(module, dict(named))
        parameters = {public_name(name): p for name, p in named}
        self.layout = Layout.of(parameters.items())
        self.buffer_layout = Layout.of(floating.items())
        device = named[0][1].device
        self.weights = self.layout.vector(parameters).to(device)
        self.buffers = self.buffer_layout.vector(floating).to(device)
        self.gradient = torch.zeros_like(self.weights)
        self._bind(parameters, floating)

    @property
    def device(self) -> torch.device:
        """Where it lies."""
        return self.weights.device

    @contextmanager
    def holding(self, tensors: Mapping[str, Tensor]) -> Iterator[None]:
        """Within it the module has other tensors in the places of its trained parameters.

        It is what ``torch.func.functional_call`` does, which looks for the places in every call.

        Args:
            tensors: all trained parameters, by public name.
        """
        held = [(owner, leaf, owner[leaf], tensors[name]) for owner, leaf, name in self._places]
        for owner, leaf, _, tensor in held:
            owner[leaf] = tensor
        try:
            yield
        finally:
            for owner, leaf, parameter, _ in held:
                owner[leaf] = parameter

    def forward_at(self, weights: Tensor, batch: Batch) -> Outputs:
        """The outputs of the model with other weights, shape (d,); buffers stay as they are."""
        held = {name: buffer.clone() for name, buffer in self.module.named_buffers()}
        with self.holding(self.layout.views(weights)):
            outputs: Outputs = functional_call(self.module, held, (self.module.model, batch))
        return outputs

    def _bind(self, parameters: Mapping[str, nn.Parameter], buffers: Mapping[str, Tensor]) -> None:
        weights, gradients = self.layout.views(self.weights), self.layout.views(self.gradient)
        for name, parameter in parameters.items():
            parameter.data, parameter.grad = weights[name], gradients[name]
        values = self.buffer_layout.views(self.buffers)
        for name, buffer in buffers.items():
            buffer.data = values[name]


_Place = tuple[dict[str, Any], str, str]


def _places(module: nn.Module, named: Mapping[str, nn.Parameter]) -> list[_Place]:
    """Where parameters are kept: a module's own, the key there and the public name.

    One that several modules share has several places.
    """
    names = {id(parameter): public_name(name) for name, parameter in named.items()}
    return [
        (owner._parameters, leaf, names[id(parameter)])
        for owner in module.modules()
        for leaf, parameter in owner._parameters.items()
        if id(parameter) in names
    ]
