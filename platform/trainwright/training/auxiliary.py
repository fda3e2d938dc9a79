"""Aux models at work: run by name, trained by their own optimizer, or following the model."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from trainwright.checkpoint import Checkpoint, Piece
from trainwright.engine.base import Engine
from trainwright.engine.fragments import Fragment, load_fragments, pieces_of, whole
from trainwright.engine.module import NamedModel
from trainwright.objective import arguments_of
from trainwright.strategy import AuxModel, Batch, Outputs

BUFFER = "buffer"


class Auxiliary:
    """One aux model, whole on this worker.

    Args:
        name: under which strategies know it.
        spec: what the strategy declared.
        model: the job's model before an engine owns it, for an average.
        device: where it lives.
    """

    def __init__(self, name: str, spec: AuxModel, model: NamedModel, device: torch.device) -> None:
        self.spec = spec
        self._followed = model
        self._prefix = f"aux.{name}."
        if spec.module is None:
            self.module = copy.deepcopy(model)
        else:
            self.module = NamedModel(spec.module, _inputs(spec, spec.module, model), spec.outputs)
        self.module.to(device)
        if not spec.trainable:
            self.module.requires_grad_(False)
            self.module.eval()

    @property
    def model(self) -> nn.Module:
        """The bare model."""
        return self.module.model

    def __call__(self, batch: Batch) -> Outputs:
        """The model's named outputs; differentiable by its parameters if it is trainable."""
        if self.spec.ema_of is not None and not self.spec.own_buffers:
            self._borrow_buffers()
        dtype = next((p.dtype for p in self.module.parameters()), torch.float32)
        columns = self.module.input_columns
        fitting = {
            name: value.to(dtype) if name in columns and value.is_floating_point() else value
            for name, value in batch.items()
        }
        outputs: Outputs = self.module(fitting)
        return outputs

    def parameters(self) -> dict[str, nn.Parameter]:
        """Trainable parameters by their names in the module."""
        named = self.module.model.named_parameters()
        return {name: p for name, p in named if p.requires_grad}

    def update(self, gradient: Mapping[str, Tensor]) -> None:
        """Move a trainable model along the gradient, by its own optimizer."""
        optimizer = self.spec.optimizer
        assert optimizer is not None
        for name, parameter in self.parameters().items():
            parameter.grad = gradient[name].to(parameter)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    @torch.no_grad()
    def follow(self, engine: Engine, update: int) -> None:
        """Take one step of the average towards the engine's weights."""
        decay = self.spec.decay(update) if callable(self.spec.decay) else self.spec.decay
        if decay == 1.0:
            return
        mine = dict(self.module.named_parameters())
        for name, weight in engine.weights().items():
            if name in mine:
                mine[name].lerp_(weight.to(mine[name]), 1.0 - decay)

    @torch.no_grad()
    def _borrow_buffers(self) -> None:
        theirs = dict(self._followed.named_buffers())
        for name, buffer in self.module.named_buffers():
            buffer.copy_(theirs[name])

    @property
    def is_kept(self) -> bool:
        """Whether it changes in training, so that a checkpoint has to hold it."""
        return self.spec.trainable or self.spec.ema_of is not None

    def _own_buffers(self) -> dict[str, Tensor]:
        borrowed = self.spec.ema_of is not None and not self.spec.own_buffers
        return {} if borrowed else dict(self.module.model.named_buffers())

    def fragments(self) -> list[Fragment]:
        """Its parameters, for checkpoints."""
        named = self.module.model.named_parameters()
        return [whole(self._prefix + name, p, p.data) for name, p in named]

    def pieces(self) -> Iterator[Piece]:
        """Weights, optimizer state and buffers, as worker 0 writes them."""
        yield from pieces_of(self.fragments(), self.spec.optimizer)
        for name, buffer in self._own_buffers().items():
            value = buffer.detach()
            yield Piece(BUFFER, self._prefix + name, tuple(value.shape), 0, value.reshape(-1))

    @torch.no_grad()
    def load(self, checkpoint: Checkpoint) -> None:
        """Take back ``pieces``."""
        load_fragments(self.fragments(), self.spec.optimizer, checkpoint)
        for name, buffer in self._own_buffers().items():
            value = checkpoint.full(BUFFER, self._prefix + name)
            buffer.copy_(value.reshape(buffer.shape))


def _inputs(spec: AuxModel, module: nn.Module, model: NamedModel) -> dict[str, str]:
    """What the strategy binds; other arguments read what the model's of the same name read."""
    arguments = {argument.name for argument in arguments_of(module.forward)}
    shared = {name: column for name, column in model.binding.bind.items() if name in arguments}
    return {**shared, **spec.inputs}


class Auxiliaries(dict[str, Auxiliary]):
    """All aux models of a job by name."""

    def follow(self, engine: Engine, update: int) -> None:
        """Let averages take their step after an update."""
        for auxiliary in self.values():
            if auxiliary.spec.ema_of is not None:
                auxiliary.follow(engine, update)

    def pieces(self) -> Iterator[Piece]:
        """What worker 0 writes of all of them."""
        for auxiliary in self.values():
            if auxiliary.is_kept:
                yield from auxiliary.pieces()

    def load(self, checkpoint: Checkpoint) -> None:
        """Take back ``pieces``."""
        for auxiliary in self.values():
            if auxiliary.is_kept:
                auxiliary.load(checkpoint)

    def trainable_modules(self) -> nn.Module:
        """Trainable models as one module, whose running statistics differ between workers."""
        trained = {f"aux_{name}": aux.module for name, aux in self.items() if aux.spec.trainable}
        return nn.ModuleDict(trained)
