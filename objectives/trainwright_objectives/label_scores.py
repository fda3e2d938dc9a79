"""What losses over many labels share: scores of queries for labels, and which are positive."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from trainwright_objectives.divided_labels import Gather, over_workers
from trainwright_objectives.options import Reduction, check_above_zero, check_reduction
from trainwright_objectives.precision import at_least_float32


class Positives(NamedTuple):
    """The positive labels of each query, padded to one length.

    Attributes:
        ids: columns of the scores, int64, shape (B, P); of no meaning where ``weights`` is 0.
        weights: in [0, 1], shape (B, P); 0 stands for padding.
        here: which of them have a column on this worker, boolean, shape (B, P); None for all.
    """

    ids: Tensor
    weights: Tensor
    here: Tensor | None = None

    @property
    def valid(self) -> Tensor:
        """Which entries are positives, boolean, shape (B, P)."""
        return self.weights > 0

    @property
    def own(self) -> Tensor:
        """Which entries are positives with a column on this worker, boolean, shape (B, P)."""
        return self.valid if self.here is None else self.valid & self.here

    @property
    def counts(self) -> Tensor:
        """The number of positives of each query, shape (B,)."""
        return self.valid.sum(dim=1)

    def mask(self, num_labels: int) -> Tensor:
        """Which scores belong to positives, boolean, shape (B, num_labels)."""
        columns = torch.where(self.own, self.ids, num_labels)  # others into a column cut off
        wider = torch.zeros(len(columns), num_labels + 1, dtype=torch.bool, device=columns.device)
        return wider.scatter_(1, columns, True)[:, :num_labels]

    def taken_from(self, scores: Tensor) -> Tensor:
        """The scores (B, L) of the positives, shape (B, P); of no meaning for padding."""
        return scores.gather(1, self.ids.clamp(0, scores.shape[1] - 1))

    def sampled(self, size: int) -> Positives:
        """``size`` of them at most, drawn without replacement with probability ~ weight."""
        if size >= self.ids.shape[1]:
            return self
        # Gumbel noise on log-probabilities: the largest are such a draw.
        noise = -torch.empty_like(self.weights).exponential_().log()
        chosen = (self.weights.log() + noise).topk(size, dim=1).indices
        here = None if self.here is None else self.here.gather(1, chosen)
        return Positives(self.ids.gather(1, chosen), self.weights.gather(1, chosen), here)

    def mean_of(self, values: Tensor, weighted: bool) -> Tensor:
        """This worker's part of the mean of ``values`` (B, P) over each query's positives, (B,).

        0 where it has none; without other workers it is the mean.
        """
        return self.sum_of(values, weighted) / self.counts.clamp(min=1)

    def sum_of(self, values: Tensor, weighted: bool) -> Tensor:
        """The sum of ``values`` (B, P) over each query's positives on this worker, shape (B,)."""
        values = torch.where(self.own, values, 0.0)
        return (values * self.weights if weighted else values).sum(dim=1)


def positives_of(target: Tensor, mask: Tensor | None = None, ignore_index: int = -100) -> Positives:
    """Positives from ids, padded, or from one number for each label.

    Args:
        target: int64 ids of shape (B,) or (B, P), or numbers in [0, 1] of shape (B, L).
        mask: for ids: True where one counts.
        ignore_index: for ids: stands where there is none.

    Raises:
        ValueError: shapes do not fit, or a number lies outside [0, 1].
    """
    if target.dtype in (torch.int64, torch.int32):
        ids = target.long()[:, None] if target.dim() == 1 else target.long()
        counted = ids != ignore_index
        if mask is not None:
            counted = counted & mask.reshape(ids.shape)
        return Positives(ids, counted.float())
    if target.dim() != 2:
        raise ValueError(f"dense targets must have shape (B, L), got {tuple(target.shape)}")
    dense = target.float()
    if not bool(((dense >= 0) & (dense <= 1)).all()):
        raise ValueError("dense targets must lie in [0, 1]")
    most = int((dense > 0).sum(dim=1).max()) if dense.numel() else 0
    found = dense.topk(max(1, most), dim=1)
    return Positives(found.indices, found.values)


def first_of_each(label: Tensor) -> tuple[Tensor, Tensor]:
    """The different labels, ascending, and for each the first row that has it.

    Args:
        label: int64, shape (B,).
    """
    known, place = torch.unique(label, return_inverse=True)
    rows = torch.arange(len(label), device=label.device)
    return known, rows.new_full(known.shape, len(rows)).scatter_reduce(0, place, rows, "amin")


def batch_scores(
    query: Tensor,
    document: Tensor,
    label: Tensor,
    positives: Positives,
    gather: Gather | None = None,
) -> tuple[Tensor, Positives]:
    """Scores of queries for the labels whose documents are given, each label once.

    Args:
        query: shape (B, D).
        document: one label's document for each row, shape (N, D).
        label: which label that is, int64, shape (N,). The first document of a label counts.
        positives: by label; those without a document are left out.
        gather: where every worker has documents of other labels.

    Returns:
        Inner products, shape (B, U), and the positives by their columns.
    """
    known, first = first_of_each(label)
    columns = torch.searchsorted(known, positives.ids).clamp(max=len(known) - 1)
    here = known[columns] == positives.ids
    present = over_workers(here, gather).any(dim=0)
    found = Positives(columns, positives.weights * present, None if gather is None else here)
    return query @ document[first].T, found


class LabelLoss(nn.Module, ABC):
    """Base of losses over the labels' scores; a subclass says ``losses``.

    With ``gather`` set, ``document`` and ``label`` are those of this worker's part of all labels,
    and ``query`` and the targets the same on all workers; so is the loss. Its gradient is that of
    a loss which all workers compute and whose mean over them is minimised.

    Attributes:
        gather: see :mod:`trainwright_objectives.divided_labels`; set while labels are divided
            among the workers.

    Args:
        temperature: scores are divided by it, above 0.
        in_batch: whether labels are the documents of the batch, or all labels have a score.
        num_positives: positives drawn for each query in training; None takes all.
        weighted: whether a positive's part is multiplied by its number in a dense target.
        ignore_index: stands for no label among target ids.
        reduction: ``mean`` over the queries that have a positive, ``sum``, or ``none``.

    Raises:
        ValueError: an option is out of range.
    """

    def __init__(
        self,
        temperature: float,
        in_batch: bool,
        num_positives: int | None,
        weighted: bool,
        ignore_index: int,
        reduction: Reduction,
    ) -> None:
        super().__init__()
        check_above_zero("temperature", temperature)
        if num_positives is not None and num_positives < 1:
            raise ValueError(f"num_positives must be None or at least 1, got {num_positives!r}")
        check_reduction(reduction)
        self.gather: Gather | None = None
        self.couples = "batch" if in_batch else "sample"
        self.temperature = temperature
        self.in_batch = in_batch
        self.num_positives = num_positives
        self.weighted = weighted
        self.ignore_index = ignore_index
        self.reduction = reduction

    @abstractmethod
    def losses(self, scores: Tensor, positives: Positives, sampled: Positives) -> Tensor:
        """The loss of each query, 0 where it has no positive, or this worker's part of it; (B,).

        Args:
            scores: divided by the temperature, in float32 at least, shape (B, L).
            positives: all of them.
            sampled: those that count now.
        """

    def count(self, target: Tensor, target_mask: Tensor | None = None) -> Tensor:
        """The number of queries with a positive, over which the loss is a mean."""
        return (positives_of(target, target_mask, self.ignore_index).counts > 0).sum()

    def forward(
        self,
        target: Tensor,
        logits: Tensor | None = None,
        query: Tensor | None = None,
        document: Tensor | None = None,
        label: Tensor | None = None,
        target_mask: Tensor | None = None,
    ) -> Tensor:
        """The loss of scores of all labels, ``logits`` (B, L), or in the batch of the towers."""
        positives = positives_of(target, target_mask, self.ignore_index)
        if self.in_batch:
            scores, positives = self._in_batch(query, document, label, positives, target)
        else:
            scores = at_least_float32(_needed(logits, "logits", "scores of all labels"))
            _check_labels(scores, positives, target)
        some = self.num_positives if self.training else None
        sampled = positives if some is None else positives.sampled(some)
        losses = self.losses(scores / self.temperature, positives, sampled)
        losses = over_workers(losses, self.gather).sum(dim=0)
        if self.reduction == "none":
            return losses
        if self.reduction == "sum":
            return losses.sum()
        return losses.sum() / (positives.counts > 0).sum().clamp(min=1)

    def _in_batch(
        self,
        query: Tensor | None,
        document: Tensor | None,
        label: Tensor | None,
        positives: Positives,
        target: Tensor,
    ) -> tuple[Tensor, Positives]:
        query = _needed(query, "query", "with in_batch the queries' embeddings")
        document = _needed(document, "document", "with in_batch the documents' embeddings")
        label = _needed(label, "label", "with in_batch the label of each row's document")
        if target.is_floating_point() or target.dtype == torch.bool:
            raise ValueError("with in_batch targets must be ids of labels, not dense numbers")
        shapes = [(len(target), query.shape[-1]), (label.numel(), query.shape[-1])]
        if [tuple(query.shape), tuple(document.shape)] != shapes:
            raise ValueError(
                f"query must have shape ({len(target)}, D), document (N, D) and label (N,), got "
                f"{tuple(query.shape)}, {tuple(document.shape)} and {tuple(label.shape)}"
            )
        scores, positives = batch_scores(
            at_least_float32(query),
            at_least_float32(document),
            label.flatten(),
            positives,
            self.gather,
        )
        if scores.shape[1] < 2 and self.training and self.gather is None:
            raise ValueError("the batch holds one label alone: there is no negative")
        return scores, positives


def _needed(value: Tensor | None, name: str, what: str) -> Tensor:
    if value is None:
        raise ValueError(f"{name} is missing: {what}; bind it to a model output or a column")
    return value


def _check_labels(scores: Tensor, positives: Positives, target: Tensor) -> None:
    if scores.dim() != 2 or len(scores) != len(target):
        raise ValueError(
            f"logits must have shape ({len(target)}, L) to go with the targets, got "
            f"{tuple(scores.shape)}"
        )
    dense = target.is_floating_point() or target.dtype == torch.bool
    if dense and target.shape != scores.shape:
        raise ValueError(
            f"dense targets must have the shape of the logits, {tuple(scores.shape)}, got "
            f"{tuple(target.shape)}"
        )
    ids = positives.ids[positives.valid]
    if ids.numel() and (int(ids.min()) < 0 or int(ids.max()) >= scores.shape[1]):
        raise ValueError(
            f"target ids lie in [{int(ids.min())}, {int(ids.max())}], but there are "
            f"{scores.shape[1]} labels: allowed are 0 to {scores.shape[1] - 1}"
        )
