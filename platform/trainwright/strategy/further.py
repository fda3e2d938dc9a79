"""What a strategy may bring along: further models and further data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

import torch
from torch import nn

if TYPE_CHECKING:
    from trainwright.strategy.base import Batch, Outputs


@dataclass(frozen=True, kw_only=True)
class Stream:
    """Further batches, drawn beside those of the update; ``step.next`` gives them.

    Attributes:
        source: ``data`` for the job's own samples, or a name under ``data.sources``.
        split: ``train``, ``validation`` or ``test`` of the job's own samples.
        batch_size: samples over all workers; None for that of the update.
        shuffle: a new order in each pass over the samples, from the job's seed alone.
        training: with the transforms of training, augmentation and label noise among them; False
            for those of evaluation.
    """

    source: str = "data"
    split: Literal["train", "validation", "test"] = "train"
    batch_size: int | None = None
    shuffle: bool = True
    training: bool = True


@dataclass(frozen=True, kw_only=True)
class AuxModel:
    """A model beside the one in training; ``context.models[name](batch)`` runs it.

    It lives whole on every worker, outside of DeepSpeed. Three kinds: frozen (a teacher),
    trainable (a discriminator, masks, multipliers), or the average of another model.

    Attributes:
        module: the model; built alike on every worker. None for an average, which is a copy.
        trainable: whether ``step.gradient(of=name)`` and ``step.update(name)`` move it.
        optimizer: of a trainable model, over its parameters.
        ema_of: ``model``: after every update, weights become
            ``decay * weights + (1 - decay) * (the model's float32 weights)``.
        decay: in [0, 1], or a function of the update's number, from 0.
        own_buffers: whether an average has buffers (running statistics) of its own; otherwise it
            runs with those that the model has at that moment.
        inputs: argument of ``forward`` -> batch column, where the names differ; an argument that
            is called as one of the model's reads what that one reads.
        outputs: names for a tensor or a tuple that it returns.
    """

    module: nn.Module | None = None
    trainable: bool = False
    optimizer: torch.optim.Optimizer | None = None
    ema_of: Literal["model"] | None = None
    decay: float | Callable[[int], float] = 0.999
    own_buffers: bool = False
    inputs: Mapping[str, str] = field(default_factory=dict)
    outputs: Sequence[str] | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            ValueError: neither a module nor an average, or an optimizer where nothing is trained.
        """
        if (self.module is None) == (self.ema_of is None):
            raise ValueError("an aux model is a module of its own, or the average of the model")
        if self.trainable != (self.optimizer is not None):
            raise ValueError("a trainable aux model needs an optimizer, and no other has one")
        if self.ema_of is not None and self.trainable:
            raise ValueError("an average follows the model and is not trained")


class RunningModel(Protocol):
    """An aux model at work, as ``context.models`` holds it; whole on every worker."""

    @property
    def module(self) -> nn.Module:
        """As a module that takes a batch and gives named outputs."""
        ...

    @property
    def model(self) -> nn.Module:
        """The bare model."""
        ...

    def __call__(self, batch: Batch) -> Outputs:
        """Named outputs for a batch, whose floating inputs are cast to the model's precision."""
        ...
