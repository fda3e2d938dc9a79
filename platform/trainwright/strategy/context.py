"""What a strategy may know and use of the run it is part of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, overload

import torch

from trainwright.data.random import key
from trainwright.strategy.attachments import Attachments, png_of
from trainwright.strategy.gathering import gather_rows
from trainwright.strategy.sample_random import SampleRandom
from trainwright.strategy.tables import Fold, SampleTable, SampleTables

if TYPE_CHECKING:
    from trainwright.strategy.further import RunningModel
    from trainwright.strategy.samples import Samples


@dataclass
class Context:
    """Facts of the run, random numbers that survive a resume, and the way to log.

    Attributes:
        seed: the job's seed.
        rank: this worker, from 0.
        world_size: number of workers.
        device: where the model lives.
        facts: what the data says: ``num_classes``, ``in_features``, ``image_size``...
        batch_size: samples per update over all workers.
        steps_per_epoch: updates in one epoch.
        total_steps: updates in the whole training.
        cut_for: most workers that the run's updates are made for, whatever their number at
            present; default: as many as there are.
        update: number of finished updates; kept by the loop.
        epoch: the current epoch, from 0; kept by the loop.
        models: the aux models that strategies declared, by name; each is called with a batch.
        data: the job's samples; None while a job is being checked.
        tables: per-sample state of this run; None before the data is known.
        attachments: histograms and figures on their way to the journal.
    """

    seed: int
    rank: int = 0
    world_size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    facts: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int = 0
    steps_per_epoch: int = 0
    total_steps: int = 0
    cut_for: int = 0
    update: int = 0
    epoch: int = 0
    models: Mapping[str, RunningModel] = field(default_factory=dict, repr=False)
    data: Samples | None = None
    tables: SampleTables | None = None
    attachments: Attachments = field(default_factory=Attachments, repr=False)
    _pending: dict[str, float | torch.Tensor] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.cut_for = self.cut_for or self.world_size

    @overload
    def rng(self, name: str, scope: Literal["world", "rank"] = "world") -> torch.Generator: ...

    @overload
    def rng(self, name: str, scope: Literal["sample"], ids: torch.Tensor) -> SampleRandom: ...

    def rng(
        self,
        name: str,
        scope: Literal["world", "rank", "sample"] = "world",
        ids: torch.Tensor | None = None,
    ) -> torch.Generator | SampleRandom:
        """Random numbers that depend on (seed, name, update) and on what ``scope`` says.

        The same update always draws the same numbers, whatever was drawn before, so that a
        resumed run continues as if nothing had happened.

        Args:
            name: what the numbers are for; another name gives others.
            scope: ``world``: a CPU generator, the same on all workers; ``rank``: one that also
                depends on the worker; ``sample``: numbers that also depend on each sample's id,
                and so neither on the worker nor on the batch it is in.
            ids: with ``sample``, the batch's ``sample_id``, shape (B,).

        Raises:
            ValueError: ``ids`` are missing, or given for another scope.
        """
        if (scope == "sample") != (ids is not None):
            raise ValueError('scope "sample" needs ids=batch["sample_id"], other scopes take none')
        parts: list[int | str] = [self.seed, name, self.update]
        if ids is not None:
            return SampleRandom(key(*parts, "sample"), ids)
        if scope == "rank":
            parts.append(self.rank)
        return torch.Generator().manual_seed(key(*parts) & (2**63 - 1))

    def table(
        self, name: str, shape: tuple[int, ...] = (), init: float = 0.0, fold: Fold = "last"
    ) -> SampleTable:
        """State of every training sample, float32, kept by the platform and its checkpoints.

        The same call gives the same table. It is equal on all workers and independent of their
        number; see :class:`~trainwright.strategy.tables.SampleTable` for reading, writing and
        ``fold``. Call it in ``begin`` or later, on all workers.

        Raises:
            ValueError: called before the data is known, or again with other arguments.
        """
        if self.tables is None:
            raise ValueError("tables exist from `begin` on: the data is not known before")
        return self.tables.get(name, shape, init, fold)

    def gather(self, x: torch.Tensor) -> torch.Tensor:
        """The rows of all workers in rank order, the same on each (a collective).

        Every worker must call it. Workers may have different numbers of rows. The gradient is
        right for a loss that every worker computes from the gathered rows, whose mean over the
        workers is minimised: it is counted once, not once per worker.
        """
        return gather_rows(x)

    def log(self, values: Mapping[str, float | torch.Tensor]) -> None:
        """Record scalars for the current update; a tensor is read later, without waiting for it.

        Values are averaged over the workers. A name without ``/`` is filed under ``strategy/``.
        """
        for name, value in values.items():
            self._pending[_filed(name)] = (
                value.detach() if isinstance(value, torch.Tensor) else value
            )

    def log_histogram(self, name: str, values: torch.Tensor) -> None:
        """Record how values are spread at the current update, those of all workers together.

        Every worker must call it. The counts go to the journal; at the end of the run a picture of
        all updates is drawn under ``figures/`` and copied to MLflow. A name without ``/`` is filed
        under ``strategy/``.

        Args:
            name: of the quantity.
            values: this worker's, any shape.
        """
        self.attachments.histograms[_filed(name)] = values.detach()

    def log_figure(self, name: str, figure: Any) -> None:
        """Store a picture of the current update under ``figures/`` and in MLflow.

        Worker 0's picture counts; on the others nothing happens.

        Args:
            name: of the picture; one without ``/`` is filed under ``strategy/``.
            figure: a matplotlib ``Figure`` or a PIL ``Image``; drawn at once.

        Raises:
            TypeError: it is neither.
        """
        if self.rank == 0:
            self.attachments.figures[_filed(name)] = png_of(figure)

    def take_logged(self) -> dict[str, float | torch.Tensor]:
        """Hand over what was logged since the last call (called by the loop)."""
        pending, self._pending = self._pending, {}
        return pending


def _filed(name: str) -> str:
    return name if "/" in name else f"strategy/{name}"
