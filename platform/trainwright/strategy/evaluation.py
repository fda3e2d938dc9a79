"""What a strategy that measures or predicts in its own way sees of an evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Protocol

from torch import Tensor

from trainwright.strategy.base import Batch, Outputs, Strategy
from trainwright.strategy.compose import using
from trainwright.strategy.context import Context

Predict = Callable[[Batch], Outputs]
"""The model's named outputs for a batch in evaluation, as the next layer gives them."""

Change = Callable[[Batch], Batch]
"""Another batch with the same samples."""


class Evaluation(Protocol):
    """The evaluation of one table, shared by the workers; the model is in evaluation mode.

    Every worker must run the same number of forward passes: a strategy that runs some for each
    batch goes through ``passes``. Gradients are off; a strategy that needs them turns them on with
    ``torch.enable_grad()``.

    Attributes:
        split: ``validation`` or ``test``.
        context: that of the strategies. A job that is being checked, and a finished run, are
            evaluated without ``begin``: what an evaluation needs it takes from here.
    """

    @property
    def split(self) -> str:
        """Name of the table."""
        ...

    @property
    def context(self) -> Context:
        """What strategies may know."""
        ...

    def batches(
        self, split: str | None = None, change: Change | None = None
    ) -> Iterator[tuple[Batch, Outputs]]:
        """This worker's batches with their outputs; to be used up, for the workers keep step.

        Args:
            split: ``train``, ``validation`` or ``test``; None for what is being evaluated.
            change: gives what the model shall read instead of each batch, and what is returned.

        Raises:
            RunError: the job has no such split.
        """
        ...

    def passes(
        self, split: str | None = None, change: Change | None = None
    ) -> Iterator[tuple[Batch, Outputs, bool]]:
        """As ``batches``, equally many on each worker, and whether the batch is to be counted."""
        ...

    def forward(self, batch: Batch) -> Outputs:
        """Outputs for any batch, also one from ``context.data``, through the ``predict`` hooks."""
        ...

    def sum(self, value: Tensor) -> Tensor:
        """The sum over the workers, in float64 on the CPU (a collective)."""
        ...


def wrap_predict(strategies: Sequence[Strategy], forward: Predict) -> Predict:
    """``forward`` with every ``predict`` hook around it; the first strategy is outermost."""
    for strategy in reversed(using(strategies, "predict")):
        forward = partial(strategy.predict, compute=forward)
    return forward


def further_metrics(strategies: Sequence[Strategy], evaluation: Evaluation) -> Mapping[str, float]:
    """What the ``evaluate`` hooks measure, in job order.

    Raises:
        ValueError: two strategies give a metric of the same name.
    """
    found: dict[str, float] = {}
    for strategy in using(strategies, "evaluate"):
        given = strategy.evaluate(evaluation)
        if twice := sorted(found.keys() & given.keys()):
            raise ValueError(f"two strategies evaluate {', '.join(twice)}")
        found.update((name, float(value)) for name, value in given.items())
    return found
