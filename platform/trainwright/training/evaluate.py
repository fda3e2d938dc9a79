"""Evaluation of a table, shared by the workers, independent of their number."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from trainwright.collectives import sum_over_workers
from trainwright.data.rows import Rows
from trainwright.data.transforms import TransformChain
from trainwright.engine.base import Engine
from trainwright.errors import RunError
from trainwright.objective import Term, WeightedSum
from trainwright.strategy import Batch, Context, Outputs, Strategy
from trainwright.strategy.evaluation import Change, further_metrics, wrap_predict
from trainwright.training import watchdog
from trainwright.training.evaluation_rows import evaluation_rows
from trainwright.training.statistics import shared_statistics


class Metric(Protocol):
    """A metric bound to outputs and columns by name."""

    def update(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Tensor]) -> None:
        """Take one batch into account."""
        ...

    def compute(self) -> dict[str, float]:
        """The value over all workers (a collective)."""
        ...

    def reset(self) -> None:
        """Forget everything."""
        ...


class _Evaluation:
    """What ``evaluate`` hooks see, see :class:`trainwright.strategy.Evaluation`."""

    def __init__(self, evaluator: Evaluator, table: Rows, split: str) -> None:
        self._evaluator = evaluator
        self._table = table
        self.split = split
        self.context = evaluator.context

    def batches(
        self, split: str | None = None, change: Change | None = None
    ) -> Iterator[tuple[Batch, Outputs]]:
        passes = self.passes(split, change)
        return ((batch, outputs) for batch, outputs, counts in passes if counts)

    def passes(
        self, split: str | None = None, change: Change | None = None
    ) -> Iterator[tuple[Batch, Outputs, bool]]:
        table = self._table if split is None else self._evaluator.table(split)
        return self._evaluator.passes(table, change)

    def forward(self, batch: Batch) -> Outputs:
        return self._evaluator.forward(batch)

    def sum(self, value: Tensor) -> Tensor:
        return sum_over_workers(value.detach(), self._evaluator.device)


class Evaluator:
    """Evaluates the engine's module in evaluation mode, leaving training untouched.

    Args:
        engine: whose module is evaluated.
        terms: the objective's terms, for the loss.
        metrics: computed beside the loss.
        transforms: applied in evaluation mode.
        batch_size: most samples per forward and worker.
        context: what strategies may know.
        strategies: whose ``predict`` and ``evaluate`` hooks take part.
        table_of: split of the job -> its samples, for strategies that measure on others than
            those evaluated.
    """

    def __init__(
        self,
        engine: Engine,
        terms: WeightedSum,
        metrics: Sequence[Metric],
        transforms: TransformChain,
        batch_size: int,
        context: Context,
        strategies: Sequence[Strategy] = (),
        table_of: Callable[[str], Rows | None] = lambda split: None,
    ) -> None:
        self._engine = engine
        self._terms = terms
        self._metrics = metrics
        self._transforms = transforms
        self._batch_size = batch_size
        self.context = context
        self._strategies = strategies
        self._table_of = table_of
        self._predict = wrap_predict(strategies, engine.module.model)

    @torch.no_grad()
    def __call__(self, table: Rows, prefix: str) -> dict[str, float]:
        """Loss, its terms and all metrics on ``table``, named ``<prefix>/<name>``."""
        module, settings = self._engine.module, self._engine.settings
        was_training = module.training
        for metric in self._metrics:
            metric.reset()
        sums = torch.zeros(len(self._terms.terms), 2, dtype=torch.float64)
        module.eval()
        try:
            with shared_statistics(module, settings.device):
                for batch, outputs, counts in self.passes(table):
                    if counts:
                        self._add(outputs, batch, sums)
                further = further_metrics(self._strategies, _Evaluation(self, table, prefix))
        finally:
            module.train(was_training)
        result = self._result(sums, prefix)
        for name, value in further.items():
            if f"{prefix}/{name}" in result:
                raise ValueError(f"a strategy evaluates {name}, which is evaluated already")
            result[f"{prefix}/{name}"] = value
        return result

    @property
    def device(self) -> torch.device:
        """Where collectives run."""
        return self._engine.settings.device

    def table(self, split: str) -> Rows:
        """The samples of a split; RunError where there are none."""
        table = self._table_of(split)
        if table is None:
            raise RunError(f"there are no samples of the split {split!r} to evaluate")
        return table

    def forward(self, batch: Batch) -> Outputs:
        """The outputs for a batch, wherever it lies, through the strategies' ``predict`` hooks."""
        outputs: Outputs = self._engine.module(self._predict, self._engine.place(batch))
        return outputs

    def passes(
        self, table: Rows, change: Change | None = None
    ) -> Iterator[tuple[Batch, Outputs, bool]]:
        """This worker's batches with their outputs, and whether they count; as many on each."""
        for raw, counts in self._batches(table):
            batch = self._engine.place(raw if change is None else change(raw))
            yield batch, self.forward(batch), counts

    def _batches(self, table: Rows) -> Iterator[tuple[dict[str, Tensor], bool]]:
        """This worker's batches; the same number on each, extra ones marked as not counting."""
        settings = self._engine.settings
        size, group = self._batch_size, self._terms.group
        shares = evaluation_rows(table, group, settings.world_size, size, self.context.cut_for)
        own = shares[settings.rank]
        for place in range(max(len(share) for share in shares)):
            watchdog.beat()
            counts = place < len(own)
            batch = table.take(own[place] if counts else torch.zeros(1, dtype=torch.int64))
            yield self._transforms(batch, 0, training=False), counts

    def _add(
        self, outputs: Mapping[str, Tensor], batch: Mapping[str, Tensor], sums: Tensor
    ) -> None:
        denominators = self._terms.count(batch)
        for position, term in enumerate(self._terms.terms):
            assert isinstance(term, Term)
            if denominators[position] > 0:
                value = term(outputs, batch).value.double().cpu()
                weight = 1.0 if term.sums else denominators[position]
                sums[position, 0] += value * weight
                sums[position, 1] += denominators[position]
        for metric in self._metrics:
            metric.update(outputs, batch)

    def _result(self, sums: Tensor, prefix: str) -> dict[str, float]:
        totals = sum_over_workers(sums, self._engine.settings.device)
        result: dict[str, float] = {f"{prefix}/loss": 0.0}
        for term, (value, count) in zip(self._terms, totals.tolist(), strict=True):
            mean = value if term.sums else value / count if count else float("nan")
            result[f"{prefix}/loss"] += term.weight * mean
            if len(self._terms.terms) > 1:
                result[f"{prefix}/{term.name}"] = mean
        for metric in self._metrics:
            result.update({f"{prefix}/{n}": v for n, v in metric.compute().items()})
        return result
