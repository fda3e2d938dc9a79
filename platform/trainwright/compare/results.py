"""What a comparison found: means, paired differences, costs, and which expectations hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from trainwright.compare.expectation import Judgement, judge
from trainwright.compare.expectation.tree import Quantity
from trainwright.compare.plan import Plan
from trainwright.compare.quantities import Recorded
from trainwright.compare.statistics import Estimate, median
from trainwright.orchestration.result import RunResult


@dataclass(frozen=True)
class Row:
    """One quantity of one variant.

    Attributes:
        quantity: for example ``validation/accuracy`` or ``train/loss@tail``.
        variant: whose it is.
        values: seed -> value, of the finished runs that recorded it.
        estimate: mean over the seeds with its 95 % interval.
        difference: the variant minus the baseline, seed by seed; None for the baseline itself.
    """

    quantity: str
    variant: str
    values: dict[int, float]
    estimate: Estimate
    difference: Estimate | None


@dataclass(frozen=True)
class Cost:
    """What the runs of one variant took.

    Attributes:
        variant: whose they are.
        runs: seed -> run name.
        failed: seed -> why there is no finished run.
        steps: updates of a run.
        seconds_per_step: median over the runs of their median time of an update.
        ratio: median over the seeds of that time relative to the baseline's with the same seed.
    """

    variant: str
    runs: dict[int, str]
    failed: dict[int, str]
    steps: int
    seconds_per_step: float
    ratio: float


@dataclass(frozen=True, repr=False)
class Comparison(RunResult):
    """What became of a comparison.

    ``metrics`` holds the means over the seeds under ``<variant>/<quantity>``.

    Attributes:
        baseline: the variant that others are compared with.
        placebo: whether the methods were replaced by the baseline.
        seeds: number of seeds.
        rows: the table.
        costs: what the runs of each variant took.
        expectations: the lines of the job, judged.
    """

    baseline: str = ""
    placebo: bool = False
    seeds: int = 0
    rows: list[Row] = field(default_factory=list)
    costs: list[Cost] = field(default_factory=list)
    expectations: list[Judgement] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether every expectation holds."""
        return all(judgement.holds for judgement in self.expectations)

    @property
    def exit_status(self) -> int:
        """0 when all runs finished and all expectations hold; of a placebo, when one fails."""
        good = not self.holds if self.placebo else self.holds
        return 0 if self.status == "finished" and good else 1

    def to_json(self) -> dict[str, Any]:
        """Plain values, as ``trainwright run --json`` prints them."""
        return {
            **super().to_json(),
            "kind": "compare",
            "baseline": self.baseline,
            "placebo": self.placebo,
            "seeds": self.seeds,
            "holds": self.holds,
            "expectations": [asdict(judgement) for judgement in self.expectations],
            "table": [asdict(row) for row in self.rows],
            "variants": {cost.variant: asdict(cost) for cost in self.costs},
        }

    def __repr__(self) -> str:
        marks = [f"  [{'x' if j.holds else ' '}] {j.line}" for j in self.expectations]
        return "\n".join([super().__repr__(), *marks])


def rows_of(plan: Plan, recorded: Recorded) -> list[Row]:
    """The table: each reported quantity of each variant."""
    baseline = plan.job.spec.baseline
    found = []
    for quantity in plan.report or recorded.quantities:
        reference = recorded.values(quantity, baseline)
        for variant in plan.variants:
            values = recorded.values(quantity, variant)
            shared = [seed for seed in values if seed in reference]
            pairs = [values[seed] - reference[seed] for seed in shared]
            difference = None if variant == baseline else Estimate.of(pairs)
            estimate = Estimate.of(list(values.values()))
            found.append(Row(str(quantity), variant, values, estimate, difference))
    return [row for row in found if _is_known(row.quantity, found)]


def _is_known(quantity: str, rows: Sequence[Row]) -> bool:
    """Whether any variant has the quantity at all."""
    return any(row.values for row in rows if row.quantity == quantity)


def costs_of(plan: Plan, recorded: Recorded) -> list[Cost]:
    """What the runs of each variant took."""
    pace = Quantity("seconds_per_step")
    reference = recorded.values(pace, plan.job.spec.baseline)
    found = []
    for variant, runs in plan.variants.items():
        paces = recorded.values(pace, variant)
        steps = recorded.values(Quantity("steps"), variant)
        shared = [seed for seed in paces if reference.get(seed)]
        states = {seed: recorded.of(variant, seed) for seed in runs}
        failed = {s: v.error or v.status for s, v in states.items() if v.status != "finished"}
        found.append(
            Cost(
                variant=variant,
                runs={seed: run.name for seed, run in runs.items()},
                failed=failed,
                steps=round(median(list(steps.values()))) if steps else 0,
                seconds_per_step=median(list(paces.values())),
                ratio=median([paces[seed] / reference[seed] for seed in shared]),
            )
        )
    return found


def judgements_of(plan: Plan, recorded: Recorded) -> list[Judgement]:
    """The expectations held against the runs."""
    return [judge(line, recorded) for line in plan.lines]
