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
from trainwright.engine.module import TrainModule, public_name

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
    def gradient(self, name: str) -> Tensor:
        """The full reduced gradient of a parameter, float32, zeros where there is none."""

    @abstractmethod
    def set_gradient(self, name: str, value: Tensor) -> None:
        """Replace the full gradient of a parameter on all workers."""

    @abstractmethod
    def pieces(self) -> Iterator[Piece]:
        """This worker's share of weights and optimizer state, for a checkpoint."""

    @abstractmethod
    def load(self, checkpoint: Checkpoint) -> None:
        """Take weights and optimizer state from a checkpoint of any stage and world size."""

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

    @property
    def _parameters(self) -> dict[str, torch.nn.Parameter]:
        """Trainable parameters by public name."""
        return {name: p for name, p in self._all_parameters.items() if p.requires_grad}

    @property
    def _frozen(self) -> dict[str, torch.nn.Parameter]:
        """The other parameters by public name."""
        return {name: p for name, p in self._all_parameters.items() if not p.requires_grad}

    @cached_property
    def _all_parameters(self) -> dict[str, torch.nn.Parameter]:
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
