"""The step of a running training: what strategies say, done by the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from typing_extensions import override

from trainwright.collectives import sum_over_workers
from trainwright.strategy import Batch, Gradient, Loss, Outputs, Step
from trainwright.strategy.step import LossFunction

if TYPE_CHECKING:
    from trainwright.objective import Share
    from trainwright.training.update import Updater

MODEL = "model"


class EngineStep(Step):
    """One update under way; made by the :class:`Updater` for each.

    Args:
        updater: whose engine, hooks, aux models and streams are used.
        place: number of the update, and its epoch.
        batches: this worker's micro-batches.
        shares: how much of the global batch each of them is.
        rates: the rate of each parameter group.
    """

    def __init__(
        self,
        updater: Updater,
        place: tuple[int, int],
        batches: Sequence[Batch],
        shares: Sequence[Share],
        rates: Sequence[float],
    ) -> None:
        super().__init__(*place, batches, rates, updater.engine.module.model)
        self.sums: dict[str, Tensor | float] = {}
        self._updater = updater
        self._shares = shares
        self._has_gradient = False
        self._given: dict[str, Mapping[str, Tensor]] = {}
        self._shifted: list[tuple[Tensor, Tensor]] = []
        self.skipped: str | None = None

    def train_on(self, batches: Sequence[Batch], shares: Sequence[Share]) -> None:
        """Take other micro-batches, those that the strategies' ``batch`` hooks have left."""
        self.batches, self._shares = batches, shares

    @override
    def forward(self, batch: Batch) -> Outputs:
        return self._updater.passes.forward(batch)

    @override
    def loss(self, batch: Batch) -> Loss:
        own = zip(self.batches, self._shares, strict=False)  # before train_on there are no shares
        share = next((share for known, share in own if known is batch), None)
        return self._updater.passes.loss(self._updater.compute, batch, share)

    @override
    def gradient(
        self,
        loss: LossFunction | None = None,
        batches: Sequence[Batch] | None = None,
        *,
        of: str = MODEL,
        statistics: bool = False,
    ) -> Gradient:
        updater = self._updater
        recorded = of == MODEL and batches is None and not self.sums
        if loss is None and updater.coupled is not None:
            chosen = self.batches if batches is None else batches
            parameters = updater.parameters(of)
            found, value = updater.passes.coupled_gradient(
                updater.coupled, chosen, parameters, statistics=statistics
            )
            if recorded:
                self._add_global("train/loss", value)
            return found
        return updater.passes.gradient(
            loss or self.loss,
            *self._shared(batches),
            updater.parameters(of),
            statistics=statistics,
            seen=partial(self.add, "train/loss") if recorded else _ignore,
        )

    @override
    def hvp(
        self,
        vector: Mapping[str, Tensor],
        loss: LossFunction | None = None,
        batches: Sequence[Batch] | None = None,
    ) -> Gradient:
        updater = self._updater
        if loss is None and updater.coupled is not None:
            raise RuntimeError("hvp() cannot differentiate an objective that couples the batch")
        return updater.passes.hvp(
            loss or self.loss, *self._shared(batches), updater.parameters(MODEL), vector
        )

    def _shared(self, batches: Sequence[Batch] | None) -> tuple[Sequence[Batch], Sequence[Share]]:
        """Micro-batches and how much of all workers' they are; None stands for the step's."""
        if batches is None:
            return self.batches, self._shares
        return batches, self._updater.shares(batches)

    @override
    def input_gradient(
        self, batch: Batch, columns: Sequence[str], loss: LossFunction | None = None
    ) -> dict[str, Tensor]:
        return self._updater.passes.input_gradient(loss, batch, columns)

    @override
    def set_gradient(self, gradient: Mapping[str, Tensor], *, of: str = MODEL) -> None:
        known = self._updater.parameters(of)
        if wrong := sorted(set(known) ^ set(gradient)):
            raise ValueError(f"the gradient must hold every parameter of {of}: {', '.join(wrong)}")
        self._given[of] = gradient

    @override
    def perturb(self, direction: Mapping[str, Tensor], scale: float = 1.0) -> None:
        self._shifted += self._updater.engine.shift(direction, scale)

    @override
    def restore(self) -> None:
        self._updater.engine.unshift(self._shifted[::-1])
        self._shifted = []

    @override
    def backward(self) -> None:
        self.sums = {}
        if self._updater.coupled is not None:
            loss = self._updater.coupled(self.batches, self._updater.engine.backward)
            self._add_global("train/loss", loss.value)
            for name, scalar in loss.logged.items():
                self._add_global(f"train/{name}", scalar)
            self._has_gradient = True
            return
        last = len(self.batches) - 1
        for position, (batch, share) in enumerate(zip(self.batches, self._shares, strict=True)):
            self._updater.backward(self, batch, share, position == last)
        self._has_gradient = True

    @override
    def update(self, name: str = MODEL) -> None:
        if name != MODEL:
            self._updater.auxiliaries[name].update(self._taken(name))
            return
        if self._shifted:
            raise RuntimeError("restore() the perturbed weights before update()")
        engine = self._updater.engine
        if MODEL in self._given:
            given = self._taken(MODEL)
            if self._has_gradient:
                for key, value in given.items():
                    engine.set_gradient(key, value)
            else:
                engine.put_gradient(given)
                self._has_gradient = True
        elif not self._has_gradient:
            raise RuntimeError("update() needs a gradient: call backward() or set_gradient() first")
        if not self._is_refused():
            self._updater.gradient_hooks(self)
            if self._updater.has_gradient_hooks and self.skipped is None:
                self._is_refused()
        if self.skipped is None:
            engine.update()
            self._has_gradient = False

    def clear(self) -> None:
        """Drop the gradient of an update that is left out."""
        if self._has_gradient:
            self._updater.engine.discard()

    def _is_refused(self) -> bool:
        """Whether the guard finds a number in loss or gradient that is not finite."""
        updater = self._updater
        if not updater.guard.looks_ahead(self.index):
            return False
        loss = self.sums.get("train/loss")
        found = updater.guard.complaint(updater.engine, [] if loss is None else [loss])
        if found is not None:
            self.skip(found)
            self.sums = {}
        return found is not None

    @override
    def training_loss(self) -> float:
        if "train/loss" not in self.sums:
            raise RuntimeError("training_loss() needs backward() first")
        part = torch.as_tensor(self.sums["train/loss"]).reshape(1)
        return float(sum_over_workers(part, self._updater.engine.settings.device))

    @override
    def clip_factor(self) -> Tensor | float:
        return self._updater.engine.clip_factor()

    @override
    def skip(self, reason: str) -> None:
        self.skipped = reason

    def _taken(self, name: str) -> Mapping[str, Tensor]:
        if name not in self._given:
            raise RuntimeError(f"update({name!r}) needs set_gradient(..., of={name!r}) first")
        return self._given.pop(name)

    @override
    def master(self, names: Sequence[str] | None = None) -> dict[str, Tensor]:
        return self._updater.engine.master(names)

    @override
    def moments(self, kind: str, names: Sequence[str] | None = None) -> dict[str, Tensor]:
        return self._updater.engine.moments(kind, names)

    @override
    def edit(
        self,
        values: Mapping[str, Tensor],
        moments: Mapping[str, Mapping[str, Tensor]] | None = None,
    ) -> None:
        self._updater.engine.edit(values, moments)

    @override
    def next(self, stream: str) -> Batch:
        return self._updater.engine.place(self._updater.streams.next(stream))

    def take(self) -> None:
        """The ordinary update: what ``step`` hooks wrap."""
        self.backward()
        self.update()

    def add(self, name: str, value: Tensor | float, share: Share) -> None:
        """Add a micro-batch's part of a mean over the global batch, to be recorded."""
        value = value.detach() if isinstance(value, Tensor) else value
        weighted = value if share.samples == 1.0 else value * share.samples
        self.sums[name] = self.sums[name] + weighted if name in self.sums else weighted

    def _add_global(self, name: str, value: Tensor) -> None:
        """A value of the global batch that every worker knows."""
        self.sums[name] = value.detach() / self._updater.engine.settings.world_size


def _ignore(value: Tensor, share: Share) -> None:
    """Nothing is recorded of passes that are not the training loss's."""
