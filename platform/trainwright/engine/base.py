"""What the loop asks of an engine: forward, backward, update, and its weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from trainwright.checkpoint import Checkpoint, Piece
from trainwright.engine import editing
from trainwright.engine.fragments import Fragment
from trainwright.engine.module import TrainModule, public_name
from trainwright.engine.norms import norms_of

PRECISIONS: dict[str, torch.dtype] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


@dataclass(frozen=True)
class EngineSettings:
    """What decides the numerics of an engine.

    Attributes:
        precision: ``fp32``, ``bf16`` or ``fp16``.
        max_grad_norm: L2 norm to which the global gradient is clipped; None for no clipping.
        device: where the model lives.
        rank: this worker.
        world_size: number of workers.
        deepspeed: DeepSpeed's own configuration as the job gives it.
    """

    precision: str = "fp32"
    max_grad_norm: float | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    rank: int = 0
    world_size: int = 1
    deepspeed: Mapping[str, Any] | None = None


class Engine(ABC):
    """Owns one module and its optimizer; the loop alone moves it.

    The gradient of an update is the sum of all ``backward`` calls since the last ``update``,
    averaged over the workers.
    """

    name: str
    module: TrainModule
    settings: EngineSettings

    @property
    @abstractmethod
    def optimizer(self) -> torch.optim.Optimizer:
        """The torch optimizer that holds the state, whatever wraps it."""

    @abstractmethod
    def backward(self, loss: Tensor, last: bool) -> None:
        """Add the gradient of a scalar; ``last`` marks the final micro-batch of the update."""

    @abstractmethod
    def update(self) -> None:
        """Clip the gradient, move the weights, clear the gradient."""

    @abstractmethod
    def discard(self) -> None:
        """Clear the gradient and leave weights and optimizer state as they are."""

    @abstractmethod
    def local_gradients(self) -> Iterator[Tensor]:
        """This worker's parts of the reduced gradient, as the engine holds them before clipping."""

    @abstractmethod
    def gradient(self, name: str) -> Tensor:
        """The full reduced gradient of a parameter, float32, zeros where there is none."""

    @abstractmethod
    def set_gradient(self, name: str, value: Tensor) -> None:
        """Replace the full gradient of a parameter on all workers."""

    @abstractmethod
    def put_gradient(self, values: Mapping[str, Tensor]) -> None:
        """Take whole gradients, float32, in place of all ``backward`` calls of an update."""

    @abstractmethod
    def pieces(self) -> Iterator[Piece]:
        """This worker's share of weights and optimizer state, for a checkpoint."""

    @abstractmethod
    def load(self, checkpoint: Checkpoint) -> None:
        """Take weights and optimizer state from a checkpoint of any stage and world size."""

    @abstractmethod
    def fragments(self) -> list[Fragment]:
        """This worker's parts of the trainable parameters."""

    @abstractmethod
    def frozen_fragments(self) -> list[Fragment]:
        """This worker's parts of the other parameters."""

    @property
    def sharded(self) -> bool:
        """Whether each worker holds only a part of the weights that the optimizer moves."""
        return False

    @property
    def loss_scale(self) -> float:
        """The factor on the loss that keeps small gradients of fp16; 1 otherwise."""
        return 1.0

    def master(self, names: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Whole weights in float32 as the optimizer holds them, by public name (a collective).

        Args:
            names: which parameters; None for all, frozen ones included.
        """
        return editing.whole_weights(self, names)

    def weights(self) -> dict[str, Tensor]:
        """Whole trainable weights in float32, without a copy where the module's own are these."""
        return self.master(self.trainable())

    def edit(
        self,
        values: Mapping[str, Tensor],
        moments: Mapping[str, Mapping[str, Tensor]] | None = None,
    ) -> None:
        """Change weights everywhere they are kept: module, optimizer's copy, optimizer state.

        Every worker gives the same values.

        Args:
            values: public name -> whole new weight.
            moments: kind of optimizer state (``exp_avg``, ``momentum_buffer``...) -> name ->
                whole new value; without effect before the first update, when there is none.

        Raises:
            KeyError: there is no such parameter.
        """
        editing.edit(self, values, moments or {})

    def moments(self, kind: str, names: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Optimizer state of a kind, whole and in float32, by public name (a collective).

        Args:
            kind: ``exp_avg_sq``, ``momentum_buffer``...
            names: of which parameters; None for all that are trained.

        Returns:
            Of the parameters' shapes; zeros where there is none of the kind, or none yet.
        """
        return editing.whole_moments(self, kind, names)

    def shift(self, direction: Mapping[str, Tensor], scale: float) -> list[tuple[Tensor, Tensor]]:
        """Add ``scale * direction`` to the weights of forward and backward passes alone.

        Returns:
            What ``unshift`` takes to put back exactly what was there.
        """
        return editing.shift(self, direction, scale)

    def unshift(self, saved: Sequence[tuple[Tensor, Tensor]]) -> None:
        """Undo ``shift``, bit for bit."""
        editing.unshift(self, list(saved))

    def shape_of(self, name: str) -> torch.Size:
        """The whole parameter's shape, also where only a part of it is held here."""
        parameter = self.all_parameters[name]
        return torch.Size(getattr(parameter, "ds_shape", parameter.shape))

    def parameters(self) -> Mapping[str, torch.nn.Parameter]:
        """Trainable parameters by public name; at stage 3 they may be empty between passes."""
        return self._parameters

    def gradient_norms(self, names: Sequence[str]) -> Tensor:
        """L2 norms of reduced gradients before clipping, without a wait for the device.

        A collective where workers hold parts; they must name the same parameters.

        Args:
            names: which trainable parameters.

        Returns:
            float32 of shape (len(names),); 0 for parameters without a gradient.
        """
        return norms_of(self._gradient_parts(names), self.settings.device, self.sharded)

    @abstractmethod
    def _gradient_parts(self, names: Sequence[str]) -> list[Tensor | None]:
        """What this worker holds of the reduced gradients of some parameters, as it holds them."""

    def clip_factor(self) -> Tensor | float:
        """By what clipping multiplied the gradient of the last update; 1 without clipping."""
        limit, norm = self.settings.max_grad_norm, self.gradient_norm()
        if limit is None or norm is None:
            return 1.0
        return (limit / (torch.as_tensor(norm) + 1e-6)).clamp(max=1.0)

    def gradient_norm(self) -> Tensor | float | None:
        """L2 norm of the last update's global gradient before clipping; None where not computed."""
        return None

    def extra_state(self) -> dict[str, Any]:
        """Further plain state to keep in a checkpoint (loss scale)."""
        return {}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:  # noqa: B027
        """Take back ``extra_state``."""

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The optimizer's parameter groups; the loop sets each one's ``lr``."""
        return self.optimizer.param_groups

    def trainable(self) -> Sequence[str]:
        """Public names of the trainable parameters."""
        return list(self._parameters)

    @cached_property
    def _parameters(self) -> dict[str, torch.nn.Parameter]:
        """Trainable parameters by public name."""
        return {name: p for name, p in self.all_parameters.items() if p.requires_grad}

    @cached_property
    def _frozen(self) -> dict[str, torch.nn.Parameter]:
        """The other parameters by public name."""
        return {name: p for name, p in self.all_parameters.items() if not p.requires_grad}

    @cached_property
    def all_parameters(self) -> dict[str, torch.nn.Parameter]:
        """Trainable and frozen parameters by public name."""
        return {public_name(name): p for name, p in self.module.named_parameters()}

    def place(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A batch on the engine's device, with the model's floating inputs in its precision."""
        device, dtype = self.settings.device, self.input_dtype
        if device.type == "cpu" and dtype == torch.float32:
            return dict(batch)
        casted = self.module.model.input_columns if dtype != torch.float32 else ()
        return {
            name: value.to(
                device,
                dtype=dtype if name in casted and value.is_floating_point() else None,
                non_blocking=True,
            )
            for name, value in batch.items()
        }

    @property
    def input_dtype(self) -> torch.dtype:
        """The number format in which the model expects floating inputs."""
        return torch.float32
