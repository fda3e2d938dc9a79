"""Phases: a strategy may train several times in one run, each time with other settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor, nn

if TYPE_CHECKING:
    from trainwright.data.rows import Rows
    from trainwright.data.table import Table

MAIN = "main"
"""Name of the phase of a job whose strategies do not ask for others."""


@dataclass(frozen=True)
class PhaseResult:
    """What became of one phase.

    Attributes:
        metrics: newest value of each evaluated metric, ``validation/accuracy``...
        steps: updates done in the phase.
        loss: training loss of its last update.
    """

    metrics: Mapping[str, float]
    steps: int
    loss: float | None


class Fit(Protocol):
    """Trains one phase at each call; what ``Strategy.run`` is given."""

    def __call__(
        self,
        phase: str = MAIN,
        *,
        epochs: int | None = None,
        steps: int | None = None,
        optimizer: Mapping[str, Any] | None = None,
        schedule: Mapping[str, Any] | None = None,
        objective: nn.Module | None = None,
        source: str | Table | None = None,
        batch_size: int | None = None,
        weights: Mapping[str, Tensor] | None = None,
    ) -> PhaseResult:
        """Train one phase to its end, or return at once what a finished one gave.

        Weights go on from where they are; the optimizer's state and the schedule begin anew, and
        so do epochs. What is left out is as in the job after all ``plan`` hooks.

        Args:
            phase: its name; each name may be used once in a run.
            epochs: passes over the data.
            steps: updates, instead of epochs.
            optimizer: options to change (``lr``...); the optimizer itself stays.
            schedule: options to change, or with ``name`` another schedule with its options.
            objective: another loss, a module without parameters.
            source: a named source of the job (``data.sources``), or a table with the columns of
                the training data, equal on all workers; see ``table``.
            batch_size: samples per update over all workers.
            weights: what ``edit`` takes, put in place before the phase begins.

        Raises:
            InputError: an override cannot be.
        """
        ...

    def weights(self) -> dict[str, Tensor]:
        """All parameters whole, in float32 on the CPU, by name; the same on all workers."""
        ...

    def edit(self, values: Mapping[str, Tensor]) -> None:
        """Replace whole parameters by name, everywhere the engine keeps them.

        Every worker gives the same values. Optimizer state is not touched.

        Raises:
            KeyError: there is no such parameter.
        """
        ...

    def table(self) -> Rows:
        """The training samples of the job, before transforms; ``subset`` gives some of them."""
        ...
