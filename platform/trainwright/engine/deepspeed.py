"""DeepSpeed, ZeRO stages 0 to 3: many workers, one module, one optimizer.

DeepSpeed's accumulation is set to 1 and the loop owns boundaries and scaling. Its own files
are never read or written: weights and state go through :mod:`trainwright.engine.fragments`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from typing_extensions import override

from trainwright.checkpoint import Checkpoint, Piece
from trainwright.engine.base import PRECISIONS, Engine, EngineSettings
from trainwright.engine.deepspeed_config import clips_itself, deepspeed_config
from trainwright.engine.deferred import Deferred
from trainwright.engine.fragments import PARAMETER, Fragment, load_fragments, pieces_of
from trainwright.engine.importing import import_deepspeed
from trainwright.engine.linear_loss import linear_loss
from trainwright.engine.mixed_norm import accept_half_precision
from trainwright.engine.module import TrainModule
from trainwright.engine.sharding import shard
from trainwright.engine.zero_layout import (
    fragments_of,
    frozen_fragments,
    gradient_part,
    is_sharded,
    local_gradients,
    refresh_module_copies,
)


class DeepSpeedEngine(Engine):
    """Training under ``deepspeed.initialize``, in the process group or in one of its own.

    Args:
        module: model and objective, equal on all workers.
        optimizer: a torch optimizer over the module's parameters.
        settings: precision, clipping, device, world size and the job's DeepSpeed section.
        deferred: makes the module's weights, which at stage 3 are then never whole on a worker.
    """

    name = "deepspeed"

    def __init__(
        self,
        module: TrainModule,
        optimizer: torch.optim.Optimizer,
        settings: EngineSettings,
        deferred: Deferred | None = None,
    ) -> None:
        deepspeed = import_deepspeed(settings.device)
        _ensure_process_group(settings)
        self.settings = settings
        self.module = module
        self.stage = int((settings.deepspeed or {}).get("zero_optimization", {}).get("stage", 0))
        numel = sum(p.numel() for p in module.parameters())
        if settings.precision != "fp32":
            accept_half_precision(module)
        if self.stage == 3 and module.objective_is_plain:
            # Hooks on the parts of a loss without parameters cost more than the loss itself.
            deepspeed.utils.set_z3_leaf_module(module.objective, True)
        config = deepspeed_config(settings, numel)
        if deferred is not None:
            shard(module, deferred, config, settings)
        self._deepspeed, *_ = deepspeed.initialize(
            model=module,
            optimizer=optimizer,
            config=config,
            dist_init_required=False,
        )
        self._clips_itself = clips_itself(settings, self.stage)
        self._norm: Tensor | None = None

    @override
    @property
    def optimizer(self) -> torch.optim.Optimizer:
        wrapped = self._deepspeed.optimizer
        inner = getattr(wrapped, "optimizer", wrapped)
        assert isinstance(inner, torch.optim.Optimizer)
        return inner

    @override
    @property
    def param_groups(self) -> list[dict[str, Any]]:
        groups: list[dict[str, Any]] = self._deepspeed.optimizer.param_groups
        return groups

    @override
    @property
    def input_dtype(self) -> torch.dtype:
        return PRECISIONS[self.settings.precision]

    @override
    def backward(self, loss: Tensor, last: bool) -> None:
        if self.stage > 0:
            # What DeepSpeed's own forward does, which the loop does not call: it makes stage 3
            # add this gradient to those of earlier micro-batches instead of replacing them.
            self._deepspeed.optimizer.clear_backward_seen_flag()
        self._deepspeed.set_gradient_accumulation_boundary(last)
        self._deepspeed.backward(loss, scale_wrt_gas=False)

    @override
    def update(self) -> None:
        limit = self.settings.max_grad_norm
        if self._clips_itself and limit is not None:
            self._norm = torch.nn.utils.clip_grad_norm_(self._parameters.values(), limit)
        self._step()

    @override
    def discard(self) -> None:
        # Every stage clears gradients in its own way, all of them around the optimizer's step.
        inner = self.optimizer
        step, inner.step = inner.step, _stand_still  # type: ignore[assignment, method-assign]
        try:
            self._step()
        finally:
            inner.step = step  # type: ignore[method-assign]

    def _step(self) -> None:
        self._deepspeed.step()
        if self.stage == 3:
            # DeepSpeed clears these in the first backward of an update, and only for parameters
            # that it reaches: to the others the next gradient would be added.
            self._deepspeed.optimizer.grad_partitions_flat_buffer.zero_()

    @override
    def local_gradients(self) -> Iterator[Tensor]:
        return local_gradients(self._deepspeed, self._parameters)

    @override
    def gradient_norm(self) -> Tensor | float | None:
        if self._clips_itself:
            return self._norm
        norm: Tensor | float | None = self._deepspeed.get_global_grad_norm()
        return norm

    @override
    def gradient(self, name: str) -> Tensor:
        from deepspeed.utils import safe_get_full_grad

        parameter = self._parameters[name]
        value = safe_get_full_grad(parameter)
        if value is None:
            shape = getattr(parameter, "ds_shape", parameter.shape)
            return torch.zeros(shape, dtype=torch.float32, device=self.settings.device)
        full: Tensor = value.detach().float().reshape(self.shape_of(name))
        return full.clone() / self.loss_scale

    @override
    def gradient_norms(self, names: Sequence[str]) -> Tensor:
        return super().gradient_norms(names) / self.loss_scale

    @override
    def _gradient_parts(self, names: Sequence[str]) -> list[Tensor | None]:
        return [gradient_part(self._parameters[name]) for name in names]

    @override
    def set_gradient(self, name: str, value: Tensor) -> None:
        from deepspeed.utils import safe_set_full_grad, safe_set_local_grad

        parameter = self._parameters[name]
        scaled = value.detach().float().reshape(self.shape_of(name)) * self.loss_scale
        if self.stage < 3:
            safe_set_full_grad(parameter, scaled.contiguous())
            return
        # DeepSpeed's own way cannot set a parameter whose size the workers do not divide.
        length = parameter.ds_tensor.numel()  # type: ignore[attr-defined]
        padded = scaled.new_zeros(length * self.settings.world_size)
        padded[: scaled.numel()] = scaled.reshape(-1)
        safe_set_local_grad(parameter, padded.narrow(0, self.settings.rank * length, length))

    @override
    def weights(self) -> dict[str, Tensor]:
        if self.settings.precision == "fp32" and self.stage < 3:
            return {name: p.detach() for name, p in self._parameters.items()}
        return super().weights()

    @override
    def put_gradient(self, values: Mapping[str, Tensor]) -> None:
        # Each worker gives the same; their mean, which DeepSpeed takes, is that again.
        with self._gathered():
            self.backward(linear_loss(self._parameters, values), last=True)

    def _gathered(self) -> AbstractContextManager[Any]:
        if self.stage < 3:
            return nullcontext()
        import deepspeed

        parameters = list(self._parameters.values())
        gathered: AbstractContextManager[Any] = deepspeed.zero.GatheredParameters(parameters)
        return gathered

    @override
    @property
    def loss_scale(self) -> float:
        if self.settings.precision != "fp16":
            return 1.0
        return float(self._deepspeed.optimizer.loss_scale)

    @override
    @property
    def sharded(self) -> bool:
        return is_sharded(self._parameters.values())

    @override
    def fragments(self) -> list[Fragment]:
        return fragments_of(self._deepspeed, self._parameters, self.settings.rank)

    @override
    def frozen_fragments(self) -> list[Fragment]:
        return frozen_fragments(self._frozen, self.settings.rank)

    def pieces(self) -> Iterator[Piece]:
        """What is replicated is written once: each whole parameter by one of the workers."""
        world, rank = self.settings.world_size, self.settings.rank
        trained, frozen = self.fragments(), self.frozen_fragments()
        if self.stage == 0:
            trained = [part for i, part in enumerate(trained) if i % world == rank]
        if self.stage < 3:
            frozen = [part for i, part in enumerate(frozen) if i % world == rank]
        return pieces_of([*trained, *frozen], self.optimizer)

    @override
    def load(self, checkpoint: Checkpoint) -> None:
        fragments = [*self.fragments(), *self.frozen_fragments()]
        with torch.no_grad():
            load_fragments(fragments, self.optimizer, checkpoint)
            read = partial(checkpoint.read, PARAMETER)
            refresh_module_copies(self._parameters, read, self.settings.rank)

    @override
    def extra_state(self) -> dict[str, Any]:
        if self.settings.precision != "fp16":
            return {}
        return {"loss_scale": self.loss_scale}

    @override
    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        if "loss_scale" not in state:
            return
        wrapped = self._deepspeed.optimizer
        scaler = getattr(wrapped, "loss_scaler", None)
        target = scaler if scaler is not None else wrapped
        target.cur_scale = state["loss_scale"]


def _stand_still(closure: Any = None) -> None:
    """An optimizer's step that moves nothing."""


def _ensure_process_group(settings: EngineSettings) -> None:
    """A group of this one process, where nobody has made a larger one (``workers: 0``)."""
    if dist.is_initialized():
        return
    backend = "nccl" if settings.device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)  # type: ignore[attr-defined]
    for name, value in (("RANK", "0"), ("LOCAL_RANK", "0"), ("WORLD_SIZE", "1")):
        os.environ.setdefault(name, value)
