"""Objectives bound to names, and their weighted sum: the one module that is minimised."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from trainwright.objective.binding import Missing, NameBinding, arguments_of
from trainwright.objective.denominator import Denominator, denominator_of, group_of
from trainwright.strategy import Loss
from trainwright.strategy.order import SAMPLE_WEIGHT

_COUPLINGS = ("sample", "group", "batch")


class Term(nn.Module):
    """One objective with its name, weight and binding.

    Args:
        objective: a module whose ``forward`` arguments name model outputs or batch columns.
        name: under which its value is recorded.
        weight: its factor in the sum.
        bind: argument -> output or column, where the names differ.
    """

    def __init__(
        self,
        objective: nn.Module,
        name: str,
        weight: float = 1.0,
        bind: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.objective = objective
        self.name = name
        self.weight = weight
        self.binding = NameBinding(arguments_of(objective.forward), bind or {})
        self.denominator: Denominator | None = denominator_of(objective, bind or {})

    @property
    def couples(self) -> str:
        """Which samples interact in this objective: ``sample``, ``group`` or ``batch``."""
        return str(getattr(self.objective, "couples", "sample"))

    @property
    def sums(self) -> bool:
        """Whether the objective adds over samples instead of averaging (``reduction="sum"``)."""
        return getattr(self.objective, "reduction", "mean") == "sum"

    def missing(self, outputs: list[str], columns: list[str]) -> list[Missing]:
        """The arguments that neither the model nor the data can give."""
        return self.binding.missing(outputs, columns)

    def forward(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Tensor]) -> Loss:
        """The objective's value on one micro-batch, without its weight."""
        result = self.objective(**self.binding.collect(outputs, batch))
        if isinstance(result, Tensor):
            return Loss(result)
        named = {str(key): value for key, value in result.items() if key != "loss"}
        return Loss(result["loss"], named)

    def per_sample(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Tensor]) -> Tensor:
        """The objective for each sample, shape (B,).

        Raises:
            TypeError: the objective has no per-sample form (no attribute ``reduction``).
        """
        if not hasattr(self.objective, "reduction"):
            raise TypeError(
                f"objective {self.name} has no per-sample form: it has no attribute 'reduction'"
            )
        module: Any = self.objective
        before, module.reduction = module.reduction, "none"
        try:
            values = self.objective(**self.binding.collect(outputs, batch))
        finally:
            module.reduction = before
        values = values["loss"] if isinstance(values, Mapping) else values
        return cast(Tensor, values).reshape(len(values), -1).mean(dim=1)


class Ratios(Protocol):
    """A number for each term; a tensor will do."""

    def __getitem__(self, position: int) -> Any:
        """That of the term at ``position``."""
        ...


@dataclass(frozen=True)
class Share:
    """How much of the global batch one micro-batch is.

    Attributes:
        samples: its number of samples over the global number.
        counts: for each term, the denominator here over the denominator of the global batch;
            None when every term averages over samples.
    """

    samples: float
    counts: Ratios | None = None


class WeightedSum(nn.Module):
    """The weighted sum of terms; each is a mean over the global batch by its own denominator."""

    def __init__(self, terms: list[Term]) -> None:
        super().__init__()
        self.terms = nn.ModuleList(terms)
        self._in_order = tuple(terms)  # found without the search through a module's parts

    def __iter__(self) -> Iterator[Term]:
        return iter(self._in_order)

    @property
    def couples(self) -> str:
        """The strongest coupling among the terms."""
        return max((str(t.couples) for t in self), key=_COUPLINGS.index)

    @property
    def group(self) -> str | None:
        """The column whose groups some term couples; None where there is none."""
        columns = [group_of(t.objective, t.binding.bind) for t in self if t.couples == "group"]
        return columns[0] if columns else None

    @property
    def needs_counts(self) -> bool:
        """Whether some term averages over something other than samples."""
        return any(t.denominator is not None for t in self)

    @property
    def unweightable(self) -> str | None:
        """Why single samples cannot be weighted by ``sample_weight``; None where they can."""
        for term in self:
            if term.couples != "sample":
                return f"objective {term.name} compares samples with each other"
            if not hasattr(term.objective, "reduction"):
                return f"objective {term.name} does not give the loss of each sample"
            if term.sums or term.denominator is not None:
                return f"objective {term.name} does not average over samples"
        return None

    def count(self, batch: Mapping[str, Tensor]) -> Tensor:
        """The denominators of all terms on one micro-batch, float64, shape (terms,)."""
        size = float(len(next(iter(batch.values()))))
        return torch.stack(
            [
                t.denominator(batch).cpu() if t.denominator else torch.tensor(size).double()
                for t in self
            ]
        )

    def forward(
        self,
        outputs: Mapping[str, Tensor],
        batch: Mapping[str, Tensor],
        share: Share | None = None,
    ) -> Loss:
        """The loss of one micro-batch.

        With ``share`` given, its value times ``share.samples``, added over all micro-batches and
        workers, is the mean over the global batch. A batch with the column ``sample_weight``
        gives ``sum(w_i * loss_i) / B`` by the terms' per-sample form.
        """
        logged: dict[str, Tensor] = {}
        total: Tensor | None = None
        for position, term in enumerate(self):
            if _is_empty(term, position, share):
                loss = Loss(torch.stack([value.sum() for value in outputs.values()]).sum() * 0.0)
            elif SAMPLE_WEIGHT in batch:
                loss = Loss((term.per_sample(outputs, batch) * batch[SAMPLE_WEIGHT]).mean())
            else:
                loss = term(outputs, batch)
            value = _times(loss.value, _correction(term, position, share))
            weighted = _times(value, term.weight)
            total = weighted if total is None else total + weighted
            if len(self._in_order) > 1:
                logged[term.name] = value.detach()
            for name, extra in loss.logged.items():
                logged[f"{term.name}/{name}"] = torch.as_tensor(extra).detach()
        assert total is not None
        return Loss(total, logged)

    def per_sample(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum for each sample, shape (B,)."""
        parts = [t.weight * t.per_sample(outputs, batch) for t in self]
        return torch.stack(parts).sum(dim=0)


def _is_empty(term: Term, position: int, share: Share | None) -> bool:
    """Whether nothing in this micro-batch counts for the term, so that its mean would be 0/0."""
    return (
        term.denominator is not None
        and share is not None
        and share.counts is not None
        and float(share.counts[position]) == 0.0
    )


def _times(value: Tensor, factor: float) -> Tensor:
    """Their product, without an operation, and another in the backward pass, for nothing."""
    return value if factor == 1.0 else value * factor


def _correction(term: Term, position: int, share: Share | None) -> float:
    """Turns a mean over this micro-batch into its part of the mean over the global batch."""
    if share is None:
        return 1.0
    if term.sums:
        return 1.0 / share.samples
    if term.denominator is None or share.counts is None:
        return 1.0
    return float(share.counts[position]) / share.samples
