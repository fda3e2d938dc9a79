"""What is done about a loss, a gradient or a weight that is no finite number."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from trainwright.collectives import sum_over_workers
from trainwright.engine.base import Engine
from trainwright.errors import RunError

Action = Literal["stop", "skip", "rewind", "ignore"]

MEND = (
    "A lower learning rate, training.max_grad_norm, a warmup or precision fp32 may help; "
    "training.on_non_finite: skip leaves such updates out, rewind does so from the last checkpoint"
)


class NumericsError(RunError):
    """Training has come to numbers that are not finite, or to too many updates left out."""


class Rewind(Exception):  # noqa: N818 - a request to whoever can start training again
    """Training must go back to the newest checkpoint.

    Attributes:
        until: updates that must be checked one by one on the way back here.
    """

    def __init__(self, cause: str, until: int) -> None:
        super().__init__(cause)
        self.until = until


@dataclass(frozen=True)
class Guard:
    """Looks for numbers that are not finite; all workers come to the same answer.

    ``skip`` looks before each update moves the weights, which waits for the device. ``stop`` and
    ``rewind`` cost nothing: they look at losses when these are read anyway, one or more updates
    later, and at the weights before these go into a checkpoint. After a rewind every update up to
    the place is looked at before it moves the weights, so that the one that broke is found.
    ``ignore`` never looks.

    Attributes:
        action: what to do.
        limit: updates that may be left out in a run.
        with_gradients: whether gradients count; those of fp16 overflow now and then by design.
        until: updates with a smaller number are looked at before they move the weights.
    """

    action: Action = "stop"
    limit: int = 0
    with_gradients: bool = True
    until: int = 0

    def looks_ahead(self, index: int) -> bool:
        """Whether the update with number ``index`` is looked at before it moves the weights."""
        return self.action == "skip" or index < self.until

    def complaint(self, engine: Engine, losses: Iterable[Tensor | float]) -> str | None:
        """What is not finite in the present update; None if nothing is (a collective).

        Args:
            engine: holds the reduced gradient.
            losses: this worker's part of the loss.
        """
        parts = engine.local_gradients() if self.with_gradients else ()
        device = engine.settings.device
        bad = torch.stack([_not_finite(losses, device), _not_finite(parts, device)])
        loss, gradient = sum_over_workers(bad, device).tolist()
        if loss > 0:
            return "the loss was not finite"
        return "the gradient was not finite" if gradient > 0 else None

    def check_skipped(self, skipped: int, last: str) -> None:
        """Refuse to leave out ever more updates.

        Args:
            skipped: updates left out so far.
            last: why the last of them was.

        Raises:
            NumericsError: there were more than ``limit``.
        """
        if skipped > self.limit:
            raise NumericsError(
                f"{last}, and {skipped} updates were left out by now; training.max_skipped is "
                f"{self.limit}"
            )

    def check_weights(self, engine: Engine, step: int) -> None:
        """Refuse weights that are not finite (a collective).

        Args:
            engine: holds them.
            step: updates finished.

        Raises:
            NumericsError: they are not finite, and no rewind can help.
            Rewind: it may help.
        """
        if self.action == "ignore":
            return
        device = engine.settings.device
        bad = _not_finite((part.master for part in engine.fragments()), device)
        if float(sum_over_workers(bad.reshape(1), device)) > 0:
            self.give_up(f"after update {step} the weights are not finite", step)

    def give_up(self, cause: str, step: int) -> None:
        """Stop training that is broken, or ask for a rewind.

        Args:
            cause: what was found.
            step: number of updates finished when it was there.

        Raises:
            NumericsError: the job says stop, or the updates up to here had been looked at before.
            Rewind: the job says so.
        """
        if self.action == "rewind" and step > self.until:
            raise Rewind(cause, step)
        raise NumericsError(f"{cause}; the newest checkpoint is from before that. {MEND}")


def _not_finite(values: Iterable[Tensor | float], device: torch.device) -> Tensor:
    """1 if any of some tensors or numbers holds infinity or no number, else 0."""
    found = [torch.isfinite(torch.as_tensor(value, device=device)).all() for value in values]
    if not found:
        return torch.zeros((), dtype=torch.float64, device=device)
    return (~torch.stack(found).all()).double()
