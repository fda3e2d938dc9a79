"""Early stopping: end training when a metric no longer improves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from trainwright.errors import JobError, Problem
from trainwright.strategy import Declares, Strategy
from trainwright.suggest import nearest, one_of
from trainwright_objectives.options import check_at_least_zero, check_whole

Mode = Literal["auto", "min", "max"]

_LOWER_IS_BETTER = (
    "loss", "error", "perplexity", "mse", "mae", "rmse", "distance", "divergence", "nll",
)  # fmt: skip
_HIGHER_IS_BETTER = (
    "accuracy", "precision", "recall", "f1", "fbeta", "score", "auroc", "auc", "specificity",
    "r2", "iou", "jaccard", "dice", "kappa", "correlation", "similarity",
)  # fmt: skip


def direction_of(metric: str) -> Literal["min", "max"] | None:
    """Whether less or more of ``metric`` is better, by the words of its name; None if unknown.

    Errors win over scores: ``top5_accuracy_error`` is to be minimised.
    """
    words = metric.lower().rsplit("/", maxsplit=1)[-1].replace("-", "_").split("_")
    if _any_begins(words, _LOWER_IS_BETTER):
        return "min"
    return "max" if _any_begins(words, _HIGHER_IS_BETTER) else None


def _any_begins(words: Iterable[str], known: tuple[str, ...]) -> bool:
    return any(word.startswith(known) for word in words)


class EarlyStopping(Strategy):
    """Stop training when an evaluated metric has not improved for a while: early stopping.

    Only ends training, or the phase in which it is; until then nothing differs from a run without
    it. Which checkpoint counts as the best is decided by the job's ``training.monitor``, not here.

    Equation:
        An evaluation improves if its value is better than the best so far by more than min_delta.
        Training ends at the ``patience``-th evaluation in a row that does not improve.

    Args:
        monitor: the evaluated metric to watch, for example ``validation/loss`` or
            ``validation/accuracy``.
        patience: evaluations without improvement after which training ends, at least 1 (how often
            there is one says ``training.evaluate_every``). Suggested: 5 to 10.
        min_delta: a smaller improvement than this does not count, at least 0.
        mode: ``min`` if less is better, ``max`` if more is; ``auto`` goes by the metric's name
            (loss, error, perplexity: min; accuracy, f1, auroc...: max).

    Needs:
        A validation split. A value that is not a number does not improve anything, so a run that
        diverges is stopped too.

    Measured:
        Costs nothing measurable: a comparison per evaluation. It saves the time after the metric
        has levelled off, and the choice of the stopping time by the validation split makes that
        split's best value optimistic; judge by a test split.

    Source:
        L. Prechelt, "Early Stopping - But When?", in Neural Networks: Tricks of the Trade, 1998,
        compares such rules; the one here counts evaluations without a new best value.

    Raises:
        ValueError: an option is out of range, or ``auto`` cannot tell the direction.
    """

    declares = Declares(neutral={"patience": 1_000_000_000})

    def __init__(
        self,
        monitor: str = "validation/loss",
        patience: Annotated[int, Field(ge=1)] = 10,
        min_delta: Annotated[float, Field(ge=0)] = 0.0,
        mode: Mode = "auto",
    ) -> None:
        check_whole("patience", patience)
        check_at_least_zero("min_delta", min_delta)
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"mode must be auto, min or max, got {mode!r}")
        direction = direction_of(monitor) if mode == "auto" else mode
        if direction is None:
            raise ValueError(
                f"the name {monitor!r} does not say whether less or more is better: "
                "set mode to min or max (or is the name misspelt?)"
            )
        self.monitor = monitor
        self.patience = patience
        self.min_delta = min_delta
        self.direction = direction
        self.best: float | None = None
        self.waited = 0

    def needs_metrics(self) -> list[str]:
        """The metric that is watched."""
        return [self.monitor]

    def phase_begin(self, phase: str) -> None:
        """Forget the phase before: its values cannot be compared with those to come."""
        self.best, self.waited = None, 0

    def evaluated(self, metrics: Mapping[str, float]) -> bool:
        """Compare with the best value so far; True once patience is exhausted.

        Raises:
            JobError: the monitored metric is not among ``metrics``.
        """
        if self.monitor not in metrics:
            raise JobError(self._missing(metrics))
        value = float(metrics[self.monitor])
        if self._improves(value):
            self.best = value
            self.waited = 0
        else:
            self.waited += 1
        return self.waited >= self.patience

    def _improves(self, value: float) -> bool:
        if math.isnan(value):
            return False
        if self.best is None:
            return True
        gain = self.best - value if self.direction == "min" else value - self.best
        return gain > self.min_delta

    def _missing(self, metrics: Mapping[str, float]) -> Problem:
        return Problem(
            path="strategies.early_stopping.monitor",
            message="this metric is not evaluated",
            got=self.monitor,
            allowed=one_of(sorted(metrics)) or "nothing: no metric was evaluated",
            nearest=nearest(self.monitor, metrics),
            mend="name an evaluated metric, or add it to the job's metrics",
        )

    def state_dict(self) -> dict[str, Any]:
        """The best value and the evaluations waited since."""
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``."""
        self.best = state["best"]
        self.waited = state["waited"]
