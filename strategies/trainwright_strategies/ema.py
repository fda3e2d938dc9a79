"""Exponential moving average of the weights, evaluated and exported in their place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

from pydantic import Field
from torch import nn

from trainwright.strategy import AuxModel, Batch, Context, Declares, Outputs, Strategy
from trainwright_strategies.layers.averaged import take_over


def ema_decay(update: int, decay: float, warmup: bool = True) -> float:
    """The share of the average that stays in update ``update``, from 0.

    With warm-up it is at most (1 + t) / (10 + t), so that the random weights of the start are
    forgotten after a few dozen updates rather than after 1 / (1 - decay).
    """
    return min(decay, (1 + update) / (10 + update)) if warmup else decay


class Ema(Strategy):
    """Evaluate and export an average of the weights along training: exponential moving average.

    Training itself goes on with the raw weights, bit for bit as without. Evaluation, prediction
    and export use the average of the float32 weights, with the running statistics of batch
    normalisation that the raw model has.

    Equation:
        average = decay_t * average + (1 - decay_t) * weights after every update t, from
        average = weights at the start, with decay_t = min(decay, (1 + t) / (10 + t)).

    Args:
        decay: share of the average that stays in an update, in [0, 1); 0 changes nothing.
            Suggested: 0.99 for hundreds of updates, 0.999 for thousands, 0.9999 for more; the
            average looks back over about 1 / (1 - decay) updates.
        warmup: whether early updates count for more, as in the equation; otherwise decay_t is
            ``decay`` from the start.

    Needs:
        Memory for one more model in float32 on every worker. In half precision and at ZeRO stage
        3 the weights are gathered after every update. Stands behind strategies that change the
        model.

    Measured:
        1500 updates take 1.2 times as long as without (MLP of two layers of 256, batches of 32,
        5 seeds in turn, one shared CPU core). Digits, 30 % of the training labels drawn anew, MLP
        64-64-10, SGD with momentum at a constant rate of 0.05, 680 updates, 8 seeds, with 95 %
        intervals: accuracy 0.900 (0.893 to 0.908) against 0.849 (0.830 to 0.869) of the raw
        weights, loss 0.49 against 0.58 (paired -0.13 to -0.06). With a rate that falls to zero
        0.920, raw.

    Source:
        D. Morales-Brotons, T. Vogels, H. Hendrikx, "Exponential Moving Average of Weights in Deep
        Learning: Dynamics and Benefits", TMLR 2024, arXiv 2411.18704; averages of iterates are
        from B. Polyak, A. Juditsky, "Acceleration of Stochastic Approximation by Averaging",
        1992. The warm-up is that of TensorFlow's ExponentialMovingAverage.

    Raises:
        ValueError: an option is out of range.
    """

    declares = Declares(neutral={"decay": 0.0})

    def __init__(
        self, decay: Annotated[float, Field(ge=0, lt=1)] = 0.999, warmup: bool = True
    ) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be at least 0 and below 1, got {decay!r}")
        self.decay = decay
        self.warmup = warmup

    def models(self, context: Context) -> Mapping[str, AuxModel]:
        """The average, which the platform keeps and moves."""
        self._context = context
        return {"ema": AuxModel(ema_of="model", decay=self._decay)} if self.decay else {}

    def _decay(self, update: int) -> float:
        return ema_decay(update, self.decay, self.warmup)

    def predict(self, batch: Batch, compute: Callable[[Batch], Outputs]) -> Outputs:
        """The average's outputs."""
        average = self._context.models.get("ema")
        return average(batch) if average else compute(batch)

    def export(self, model: nn.Module) -> nn.Module:
        """The model with the average's weights."""
        average = self._context.models.get("ema")
        return take_over(average.model, model) if average else model
