"""What the runs of a comparison recorded, read from their journals."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from trainwright.compare.expectation import Quantity
from trainwright.compare.expectation.evaluation import UnrecordedError
from trainwright.compare.plan import Plan
from trainwright.compare.statistics import Estimate, median
from trainwright.runs import RunRecord
from trainwright.storage import Folder
from trainwright.suggest import nearest, one_of
from trainwright.tracking import read_lineage
from trainwright.training.monitored import Best

_PACE = "system/seconds_per_step"


@dataclass(frozen=True)
class History:
    """The values of one quantity of one run, NaN and infinity included.

    Attributes:
        steps: updates finished, ascending.
        values: one value of each.
    """

    steps: list[int]
    values: list[float]

    def at(self, moment: str | int) -> float | None:
        """The value at a moment other than ``best``; None where there is none yet.

        Args:
            moment: see :mod:`trainwright.compare.expectation`.
        """
        if isinstance(moment, int):
            past = [v for s, v in zip(self.steps, self.values, strict=True) if s <= moment]
            return past[-1] if past else None
        finite = [value for value in self.values if not math.isnan(value)]
        tail = self.values[-max(1, len(self.values) // 10) :]
        return {
            "final": self.values[-1],
            "first": self.values[0],
            "min": min(finite, default=math.nan),
            "max": max(finite, default=math.nan),
            "mean": Estimate.of(self.values).mean,
            "tail": Estimate.of(tail).mean,
        }[moment]

    def best_step(self, best: Best) -> int | None:
        """The step at which this quantity, the monitored one, was best."""
        found = Best(best.metric, best.higher_is_better)
        for step, value in zip(self.steps, self.values, strict=True):
            found.improves({best.metric: value}, step)
        return found.step


@dataclass(frozen=True)
class RunValues:
    """Everything one run recorded.

    Attributes:
        status: what became of the run.
        histories: quantity -> its values.
        seconds: training time over all attempts.
        error: why it failed, first line.
    """

    status: str
    histories: dict[str, History] = field(default_factory=dict)
    seconds: float = 0.0
    error: str | None = None

    @classmethod
    def read(cls, folder: Folder) -> RunValues:
        """Read a run's record and journal; a run that never started has status ``missing``."""
        record = RunRecord.load(folder)
        if record is None:
            return cls("missing")
        found: dict[str, dict[int, float]] = defaultdict(dict)
        for row in read_lineage(folder):
            if row["kind"] == "metrics":
                for key, value in row["values"].items():
                    found[key][row["step"]] = value
        histories = {
            key: History(sorted(points), [points[step] for step in sorted(points)])
            for key, points in found.items()
        }
        error = record.error.splitlines()[0] if record.error else None
        return cls(record.true_status, histories, record.seconds, error)

    @property
    def seconds_per_step(self) -> float:
        """Median time of an update; the first group, which warms up, is left out."""
        history = self.histories.get(_PACE)
        if history is None:
            return math.nan
        return median(history.values[1:] or history.values)

    def value(self, quantity: Quantity, best: Best | None) -> float:
        """One quantity at its moment.

        Raises:
            UnrecordedError: the run recorded no such thing, or not by that moment.
        """
        if quantity.name == "seconds_per_step":
            return self.seconds_per_step
        if quantity.name == "seconds":
            return self.seconds
        if quantity.name == "steps":
            return float(max((h.steps[-1] for h in self.histories.values()), default=0))
        history = self.histories.get(quantity.name)
        if history is None:
            close = nearest(quantity.name, self.histories)
            hint = f"; nearest: {close}" if close else f": {one_of(sorted(self.histories))}"
            raise UnrecordedError(f"no {quantity.name} was recorded{hint}")
        moment: str | int | None = quantity.moment
        if moment == "best":
            watched = self.histories.get(best.metric) if best else None
            moment = watched.best_step(best) if watched and best else None
        found = None if moment is None else history.at(moment)
        if found is None:
            raise UnrecordedError(f"{quantity.name} has no value yet at {quantity.moment}")
        return found


class Recorded:
    """The runs of a comparison as measurements: variant, seed and quantity give a number.

    Args:
        plan: which runs there are.

    Attributes:
        runs: run name -> what it recorded.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.runs = {run.name: RunValues.read(run.folder) for run in plan.runs}

    def of(self, variant: str, seed: int) -> RunValues:
        """Everything that one run recorded."""
        return self.runs[self._plan.variants[variant][seed].name]

    @property
    def quantities(self) -> list[Quantity]:
        """Everything that a run recorded, but for the state of the machine."""
        names = {name for run in self.runs.values() for name in run.histories}
        return [Quantity(name) for name in sorted(names) if not name.startswith("system/")]

    def seeds(self, variants: Iterable[str]) -> list[int]:
        """The seeds for which the runs of all ``variants`` are finished."""
        names = list(variants)
        return [
            seed
            for seed in self._plan.job.spec.seed_list
            if all(self.of(name, seed).status == "finished" for name in names)
        ]

    def value(self, quantity: Quantity, variant: str, seed: int) -> float:
        """One quantity of one run.

        Raises:
            UnrecordedError: the run recorded no such thing.
        """
        try:
            return self.of(variant, seed).value(quantity, self._plan.checked(variant).best)
        except UnrecordedError as error:
            raise UnrecordedError(f"{variant}, seed {seed}: {error}") from None

    def values(self, quantity: Quantity, variant: str) -> dict[int, float]:
        """One quantity for each seed that is finished and has it."""
        found = {}
        for seed in self.seeds([variant]):
            try:
                found[seed] = self.value(quantity, variant, seed)
            except UnrecordedError:
                continue
        return found
