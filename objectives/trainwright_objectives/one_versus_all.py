"""Every label a yes-or-no question of its own: the binary cross-entropy over many labels."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from trainwright_objectives.divided_labels import over_workers
from trainwright_objectives.label_scores import LabelLoss, Positives
from trainwright_objectives.options import Reduction


class OneVersusAll(LabelLoss):
    """Binary cross-entropy of each label by itself: one versus all.

    The plain loss of multi-label learning, to compare with ``decoupled_softmax`` and
    ``soft_topk``. Labels are not compared with each other, and with many of them the negatives are
    nearly all there is, since each counts as much as a positive.

    Equation:
        L_i = mean over labels j of softplus(s_ij) - y_ij * s_ij, s = scores / temperature, y_ij
        the target's number, 1 for an id; then the mean over queries that have a positive.

    Args:
        temperature: divides the scores, above 0. Suggested: 0.05 for embeddings of length 1,
            otherwise 1.
        in_batch: labels are the documents of the global batch, each once; otherwise all labels
            have a score.
        ignore_index: stands for no label among target ids.
        reduction: ``mean``, ``sum``, or ``none`` for one value per query.

    Needs:
        The targets and scores of ``decoupled_softmax``. Inner products of embeddings of length 1
        have no offset, so that a score of 0, half a yes, is where unrelated embeddings begin.

    Measured:
        A step costs what one with the ordinary softmax does. The pairs, towers and temperature of
        ``decoupled_softmax``, 600 updates, 5 seeds, 95 % intervals: recall of positives in the
        first five .302 +- .012, less than with the ordinary softmax (.389 +- .007) and decoupled
        (.402 +- .008); the first document is a query's own for .725 +- .02 (.615 +- .02 and .723
        +- .03). It learns more slowly: after 150 updates .531 against .665 and .833.

    Source:
        The baseline of N. Gupta, D. Khatri, A. S. Rawat, S. Bhojanapalli, P. Jain, I. S. Dhillon,
        "Dual-Encoders for Extreme Multi-Label Classification", 2024, arXiv 2310.10636.

    Raises:
        ValueError: an option, a shape or a target is out of range.

    Example:
        >>> import torch
        >>> objective = OneVersusAll()
        >>> scores = torch.tensor([[2.0, -1.0]])
        >>> round(objective(torch.tensor([[0]]), scores).item(), 6)
        0.220095
    """

    def __init__(
        self,
        temperature: float = 1.0,
        in_batch: bool = False,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(temperature, in_batch, None, True, ignore_index, reduction)

    def losses(self, scores: Tensor, positives: Positives, sampled: Positives) -> Tensor:
        """The loss of each query, or this worker's part of it; shape (B,)."""
        labels = scores.new_full((1,), scores.shape[1])
        found = functional.softplus(scores).sum(dim=1)
        found = found - positives.sum_of(positives.taken_from(scores), self.weighted)
        return found * (positives.counts > 0) / over_workers(labels, self.gather).sum(dim=0)
