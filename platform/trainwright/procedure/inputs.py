"""What a procedure starts from: seed, data, earlier runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from trainwright.checkpoint import Checkpoint
from trainwright.data.random import generator
from trainwright.data.table import Table
from trainwright.errors import InputError, Problem
from trainwright.procedure.data import JobData
from trainwright.procedure.trained import TrainedRun
from trainwright.procedure.variation import Variation, variation
from trainwright.suggest import nearest, one_of


class Inputs:
    """The inputs of a procedure.

    Attributes:
        seed: the job's seed.
        runs: the earlier runs that the job names.
        shared: sections of the job that trainings of the procedure have as well.
    """

    def __init__(
        self,
        seed: int,
        runs: Mapping[str, TrainedRun],
        data: JobData | None,
        shared: Mapping[str, Any] | None = None,
    ) -> None:
        self.seed = seed
        self.runs = runs
        self.shared = shared or {}
        self._data = data

    @property
    def has_data(self) -> bool:
        """Whether the job has a data section."""
        return self._data is not None

    @property
    def data(self) -> JobData:
        """The samples of the job's own data section.

        Raises:
            InputError: it has none.
        """
        if self._data is None:
            mend = "give the job a section data, as a training job has one"
            raise InputError(Problem("data", "the procedure needs samples", mend=mend))
        return self._data

    def batches(
        self, split: str = "train", batch_size: int | None = None
    ) -> Iterator[dict[str, Tensor]]:
        """Batches of the job's own data, see :meth:`JobData.batches`."""
        return self.data.batches(split, batch_size)

    def table(self, split: str = "train") -> Table:
        """A table of the job's own data, see :meth:`JobData.table`."""
        return self.data.table(split)

    def run(self, name: str) -> TrainedRun:
        """The earlier run that the job calls ``name``.

        Raises:
            InputError: it names none so.
        """
        if name not in self.runs:
            mend = f"add the line `{name}: RUN` to the section runs"
            raise InputError(
                Problem(
                    "runs",
                    f"the procedure needs a run named {name!r}",
                    list(self.runs),
                    allowed=one_of(self.runs) or None,
                    nearest=nearest(name, self.runs),
                    mend=mend,
                )
            )
        return self.runs[name]

    def model(self, name: str) -> nn.Module:
        """A copy of the trained model of an earlier run, see :meth:`TrainedRun.model`."""
        return self.run(name).model()

    def checkpoint(self, name: str) -> Checkpoint:
        """The checkpoint of an earlier run."""
        return self.run(name).checkpoint

    def variation(
        self, run: str, name: str, changes: Mapping[str, Any], place: str = "procedure"
    ) -> Variation:
        """A training like that of an earlier run, with changes; ``context.train`` runs it.

        Seed, data, cluster and all else are the earlier run's; storage and tracking the
        procedure's.

        Args:
            run: name, in the section runs, of the earlier run.
            name: label of the new one.
            changes: sections, which are merged into those of the earlier run's job, or values at
                dotted paths (``training.epochs``).
            place: dotted path of the changes in the procedure's job, for messages.

        Raises:
            InputError: the changed job is none, or its plugins refuse their options.
        """
        return variation(self.run(run), name, changes, place, self.shared)

    def rng(self, *names: int | str) -> torch.Generator:
        """Random numbers that depend on the seed and ``names`` alone, see :func:`generator`.

        The same call gives the same numbers, so each use needs a name of its own.
        """
        return generator(self.seed, *names)
