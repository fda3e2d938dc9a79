"""One update of the weights as strategies see it, and everything they may do around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from trainwright.strategy.gradient import Gradient, Gradients

if TYPE_CHECKING:
    from trainwright.strategy.base import Batch, Loss, Outputs

LossFunction = Callable[["Batch"], "Tensor | Loss"]
"""A scalar loss of one micro-batch (its mean over the samples), differentiable."""


@dataclass
class Step:
    """One update of the weights, as the ``step``, ``gradients`` and ``updated`` hooks see it.

    Every method is right on all engines, ZeRO stages and numbers of workers, but for ``hvp`` and
    losses that need a second backward pass, which ZeRO stage 3 cannot do. Passes made here draw
    the dropout masks that the update's own pass draws, and leave buffers (running statistics of
    batch normalisation) and random numbers as they were, so that measuring changes nothing.
    All workers must make the same calls: most are collectives.

    Attributes:
        index: number of this update, from 0 over the whole training.
        epoch: the epoch it belongs to, from 0.
        batches: this worker's micro-batches.
        learning_rates: the rate of each parameter group in this update.
        model: the model in training (do not move its weights here; that is the engine's task).
        gradients: the engine's present gradient; only inside the ``gradients`` hook.
    """

    index: int
    epoch: int
    batches: Sequence[Batch]
    learning_rates: Sequence[float]
    model: nn.Module
    gradients: Gradients | None = None

    def forward(self, batch: Batch) -> Outputs:
        """The model's named outputs for ``batch``, differentiable; nothing is accumulated."""
        raise _no_training()

    def loss(self, batch: Batch) -> Loss:
        """The loss of one micro-batch as training computes it: objective and ``loss`` hooks."""
        raise _no_training()

    def gradient(
        self,
        loss: LossFunction | None = None,
        batches: Sequence[Batch] | None = None,
        *,
        of: str = "model",
        statistics: bool = False,
    ) -> Gradient:
        """The gradient of a loss over the global batch; nothing moves, nothing is accumulated.

        Args:
            loss: mean loss of a micro-batch; None for the training loss.
            batches: this worker's micro-batches (as many on each worker); None for the step's.
                Each counts by its share of the samples of all workers.
            of: whose parameters: ``model``, or the name of a trainable aux model.
            statistics: let these passes count for batch normalisation's running statistics.

        Returns:
            float32, whole, equal on all workers; zeros for parameters that the loss does not use.
        """
        raise _no_training()

    def hvp(
        self,
        vector: Mapping[str, Tensor],
        loss: LossFunction | None = None,
        batches: Sequence[Batch] | None = None,
    ) -> Gradient:
        """The Hessian of the loss over the global batch times ``vector`` (not at ZeRO stage 3).

        Args:
            vector: public name -> tensor of the parameter's shape.
            loss: as for ``gradient``.
            batches: as for ``gradient``.
        """
        raise _no_training()

    def input_gradient(
        self, batch: Batch, columns: Sequence[str], loss: LossFunction | None = None
    ) -> dict[str, Tensor]:
        """The gradient of the summed loss of one micro-batch with respect to its columns.

        Args:
            batch: a micro-batch.
            columns: floating-point columns to differentiate.
            loss: mean loss of a micro-batch; None for the objective alone. It is multiplied by
                the number of samples, so that a sample's gradient does not depend on the others.

        Returns:
            column -> tensor of the column's shape.
        """
        raise _no_training()

    def set_gradient(self, gradient: Mapping[str, Tensor], *, of: str = "model") -> None:
        """Make ``gradient`` the one that the next ``update`` of the model uses."""
        raise _no_training()

    def perturb(self, direction: Mapping[str, Tensor], scale: float = 1.0) -> None:
        """Add ``scale * direction`` to the weights that passes use, until ``restore``."""
        raise _no_training()

    def restore(self) -> None:
        """Undo every ``perturb`` since the last ``restore``, bit for bit."""
        raise _no_training()

    def backward(self) -> None:
        """The ordinary passes over the step's micro-batches; the first half of ``take``."""
        raise _no_training()

    def update(self, name: str = "model") -> None:
        """Run the ``gradients`` hooks, clip, move the weights; the second half of ``take``.

        Args:
            name: ``model``, or a trainable aux model, which is moved by its own optimizer.
        """
        raise _no_training()

    def training_loss(self) -> float:
        """The loss of ``backward`` over the global batch (a collective that waits for the device).

        Raises:
            RuntimeError: ``backward`` was not called.
        """
        raise _no_training()

    def clip_factor(self) -> Tensor | float:
        """By what clipping multiplied the gradient of this update; in the ``updated`` hook.

        In (0, 1], and 1 without ``training.max_grad_norm``; a tensor stays on its device.
        """
        raise _no_training()

    def skip(self, reason: str) -> None:
        """Leave this update out: weights, optimizer, averages and per-sample tables stay.

        Call it before the weights move, in the ``gradients`` hook or around ``update``. The
        ``updated`` hooks do not run. Every skipped update is counted and recorded with the ids
        of its samples; a run with more than ``training.max_skipped`` fails.

        Args:
            reason: why, half a sentence, for the journal.
        """
        raise _no_training()

    def master(self, names: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Whole weights in float32 as the optimizer holds them, by public name."""
        raise _no_training()

    def moments(self, kind: str, names: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Optimizer state of a kind (``exp_avg_sq``...), whole, in float32, by public name.

        Zeros where there is none of that kind, or none yet, as before the first update.
        """
        raise _no_training()

    def edit(
        self,
        values: Mapping[str, Tensor],
        moments: Mapping[str, Mapping[str, Tensor]] | None = None,
    ) -> None:
        """Change weights wherever they are kept, and optimizer state with them.

        Args:
            values: public name -> whole new weight, equal on all workers.
            moments: kind of optimizer state (``exp_avg``...) -> public name -> whole new value.
        """
        raise _no_training()

    def next(self, stream: str) -> Batch:
        """This worker's share of the next global batch of a stream that ``streams`` declared."""
        raise _no_training()


def _no_training() -> RuntimeError:
    return RuntimeError("only the step that a running training hands to its hooks can do this")
