"""Plain PyTorch in one process: small models, tests, simulated clients, machines without Linux."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from trainwright.checkpoint import Checkpoint, Piece
from trainwright.engine.base import PRECISIONS, Engine, EngineSettings
from trainwright.engine.fragments import Fragment, load_fragments, pieces_of, whole
from trainwright.engine.module import TrainModule


class LocalEngine(Engine):
    """One process, one device; bf16 and fp16 by autocast with float32 weights.

    Args:
        module: model and objective.
        optimizer: built over the module's parameters.
        settings: precision, clipping and device; ``world_size`` must be 1.
    """

    name = "local"

    def __init__(
        self, module: TrainModule, optimizer: torch.optim.Optimizer, settings: EngineSettings
    ) -> None:
        if settings.world_size != 1:
            raise ValueError("the local engine is one process; use engine: deepspeed for more")
        self.settings = settings
        self.module = module.to(settings.device)
        self._optimizer = optimizer
        self._dtype = PRECISIONS[settings.precision]
        self._scaler = torch.amp.GradScaler(
            settings.device.type, enabled=settings.precision == "fp16"
        )
        self._norm: Tensor | None = None
        if self._dtype != torch.float32:
            # The module's own forward is what the loop calls; autocast belongs around it.
            module.forward = torch.autocast(settings.device.type, self._dtype)(module.forward)  # type: ignore[method-assign]

    @override
    @property
    def optimizer(self) -> torch.optim.Optimizer:
        return self._optimizer

    @override
    def backward(self, loss: Tensor, last: bool) -> None:
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        if last and self._scaler.is_enabled():
            self._scaler.unscale_(self._optimizer)

    @override
    def update(self) -> None:
        gradients: list[Tensor] = []
        for parameter in self._parameters.values():
            if parameter.grad is None:
                # As in DeepSpeed: momentum and weight decay move what the update does not use.
                parameter.grad = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
        limit = self.settings.max_grad_norm
        if limit is not None:
            self._norm = _clip(gradients, limit)
        if self._scaler.is_enabled():
            self._scaler.step(self._optimizer)
            self._scaler.update()
        else:
            self._optimizer.step()
        self._forget()

    @override
    def discard(self) -> None:
        if self._scaler.is_enabled():
            # What it found out about this gradient; without it the next one is not unscaled.
            self._scaler.update()
        self._forget()

    def _forget(self) -> None:
        """Clear the gradient, without all that torch puts around a loop of one line."""
        for parameter in self._parameters.values():
            parameter.grad = None

    @override
    def local_gradients(self) -> Iterator[Tensor]:
        return (p.grad for p in self._parameters.values() if p.grad is not None)

    @override
    def gradient_norm(self) -> Tensor | float | None:
        return self._norm

    @override
    def gradient(self, name: str) -> Tensor:
        parameter = self._parameters[name]
        if parameter.grad is None:
            return torch.zeros_like(parameter, dtype=torch.float32)
        return parameter.grad.detach().float().clone()

    @override
    def _gradient_parts(self, names: Sequence[str]) -> list[Tensor | None]:
        return [self._parameters[name].grad for name in names]

    @override
    def set_gradient(self, name: str, value: Tensor) -> None:
        parameter = self._parameters[name]
        parameter.grad = value.detach().to(parameter).reshape(parameter.shape).clone()

    @override
    def weights(self) -> dict[str, Tensor]:
        return {name: p.detach() for name, p in self._parameters.items()}

    @override
    def put_gradient(self, values: Mapping[str, Tensor]) -> None:
        for name, parameter in self._parameters.items():
            parameter.grad = values[name].detach().to(parameter).mul(self.loss_scale)
        if self._scaler.is_enabled():
            self._scaler.unscale_(self._optimizer)

    @override
    @property
    def loss_scale(self) -> float:
        return float(self._scaler.get_scale()) if self._scaler.is_enabled() else 1.0

    @override
    def fragments(self) -> list[Fragment]:
        return [whole(name, p, p.data) for name, p in self._parameters.items()]

    @override
    def frozen_fragments(self) -> list[Fragment]:
        return [whole(name, p, p.data) for name, p in self._frozen.items()]

    @override
    def pieces(self) -> Iterator[Piece]:
        return pieces_of([*self.fragments(), *self.frozen_fragments()], self._optimizer)

    @override
    def load(self, checkpoint: Checkpoint) -> None:
        with torch.no_grad():
            fragments = [*self.fragments(), *self.frozen_fragments()]
            load_fragments(fragments, self._optimizer, checkpoint)

    @override
    def extra_state(self) -> dict[str, Any]:
        return {"scaler": self._scaler.state_dict()} if self._scaler.is_enabled() else {}

    @override
    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        if "scaler" in state:
            self._scaler.load_state_dict(dict(state["scaler"]))


def _clip(gradients: list[Tensor], limit: float) -> Tensor:
    """What ``torch.nn.utils.clip_grad_norm_`` does to gradients of one device, to the same bits.

    For an MLP 64-512-512-10 on a CPU: 35 us instead of 65 where nothing is too long, else 50.

    Returns:
        Their L2 norm before, over all of them.
    """
    with torch.no_grad():
        norms = torch._foreach_norm(gradients)
        norm: Tensor = torch.linalg.vector_norm(torch.stack(norms))
        factor = (limit / (norm + 1e-6)).clamp(max=1.0)
        # Only a CPU can look at the factor without waiting for it. A norm that is NaN must spread.
        if not norm.is_cpu or factor.item() != 1.0:
            torch._foreach_mul_(gradients, factor)
    return norm
