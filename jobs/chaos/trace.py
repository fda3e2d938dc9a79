"""What the surviving lineage of a run says, with everything in it that should not be there."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trainwright.storage import Folder
from trainwright.tracking.lineage import read_lineage

LOSS = "train/loss"
Key = tuple[str, int]


@dataclass
class Trace:
    """The journal of a run; what was told twice is there twice.

    Attributes:
        metrics: (name, step) -> values, numbers about the machine left out.
        samples: step -> sample ids of the update, one list for each time they were told.
        sizes: attempt that counts -> number of its workers, oldest first.
        seams: the steps after which a later attempt went on.
    """

    metrics: dict[Key, list[float]] = field(default_factory=lambda: defaultdict(list))
    samples: dict[int, list[list[int]]] = field(default_factory=lambda: defaultdict(list))
    sizes: dict[int, int] = field(default_factory=dict)
    seams: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, run: Folder) -> Trace:
        """Read a run's journal."""
        return cls.of_rows(read_lineage(run))

    @classmethod
    def of_rows(cls, rows: Iterable[Mapping[str, Any]]) -> Trace:
        """Take in rows as ``read_lineage`` gives them."""
        trace = cls()
        for row in rows:
            if row["kind"] == "attempt":
                trace.sizes[row["attempt"]] = row["world_size"]
                trace.seams = [step for _, step in row["lineage"]]
            elif row["kind"] == "samples":
                trace.samples[row["step"]].append(list(row["ids"]))
            elif row["kind"] == "metrics":
                for name, value in row["values"].items():
                    if not name.startswith("system/"):
                        trace.metrics[name, row["step"]].append(value)
        return trace

    @property
    def losses(self) -> dict[int, list[float]]:
        """Step -> training loss."""
        return {step: values for (name, step), values in self.metrics.items() if name == LOSS}

    @property
    def last_step(self) -> int:
        """The last update that has a loss; 0 if none has."""
        return max(self.losses, default=0)

    def steps_of_size(self, size: int) -> int:
        """How many updates from the first on were trained by ``size`` workers without a change."""
        for seam, own in zip([0, *self.seams], self.sizes.values(), strict=False):
            if own != size:
                return seam
        return self.last_step


def samples_off(trace: Trace, calm: Trace, steps: Iterable[int]) -> tuple[int, int]:
    """How many samples were repeated and missed in some updates, against an undisturbed run."""
    repeated = missed = 0
    for step in steps:
        own = Counter(_flat(trace.samples.get(step, [])))
        wanted = Counter(_flat(calm.samples.get(step, [])))
        repeated += (own - wanted).total()
        missed += (wanted - own).total()
    return repeated, missed


def epochs_off(trace: Trace, num_samples: int) -> tuple[int, int]:
    """The same without looking at any other run: each epoch holds every sample once.

    Args:
        trace: the run.
        num_samples: training samples of the job.
    """
    ids = [i for step in sorted(trace.samples) for i in _flat(trace.samples[step])]
    repeated = missed = 0
    for start in range(0, len(ids), num_samples):
        epoch = ids[start : start + num_samples]
        repeated += len(epoch) - len(set(epoch))
        if len(epoch) == num_samples:
            missed += num_samples - len(set(epoch))
    return repeated, missed


def gaps(trace: Trace, calm: Trace, steps: Iterable[int]) -> int:
    """How many numbers of some updates are missing, or told more than once."""
    wanted = set(steps)
    own = {key for key, values in trace.metrics.items() if len(values) == 1}
    keys = {key for key in calm.metrics if key[1] in wanted}
    strangers = {key for key in trace.metrics if key[1] in wanted} - keys
    return len(keys - own) + len(strangers)


def server_gaps(points: Sequence[Sequence[Any]], trace: Trace, steps: Iterable[int]) -> int:
    """How many numbers of some updates the tracking server lacks, or has with another value.

    Args:
        points: (name, step, value) of what the server holds.
        trace: the run's journal.
        steps: the updates.
    """
    held: dict[Key, set[float]] = defaultdict(set)
    for name, step, value in points:
        held[name, step].add(math.nan if value is None else value)
    wanted = set(steps)
    return sum(
        any(_absent(value, held[key]) for value in values)
        for key, values in trace.metrics.items()
        if key[1] in wanted
    )


def different_losses(trace: Trace, calm: Trace, tolerance: float = 1e-5) -> Iterator[int]:
    """Steps whose loss is another than in the undisturbed run.

    Bit for bit as long as the number of workers stayed that of the undisturbed run; from its
    first change on within a relative ``tolerance``.
    """
    size = next(iter(calm.sizes.values()), 1)
    exact = trace.steps_of_size(size)
    for step, wanted in sorted(calm.losses.items()):
        own = trace.losses.get(step, [])
        allowed = 0.0 if step <= exact else tolerance
        if len(own) != 1 or not math.isclose(own[0], wanted[0], rel_tol=allowed, abs_tol=0.0):
            yield step


def _flat(lists: Iterable[Iterable[int]]) -> list[int]:
    return [item for part in lists for item in part]


def _absent(value: float, held: set[float]) -> bool:
    if math.isnan(value):
        return not any(math.isnan(other) for other in held)
    return value not in held
