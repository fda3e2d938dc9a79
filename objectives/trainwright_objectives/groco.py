"""Learning by sorting: an anchor's positives ranked above its hardest negatives, as two groups."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainwright_objectives.options import check_above_zero
from trainwright_objectives.precision import at_least_float32


class SoftSort(NamedTuple):
    """What a differentiable sorting network did to rows of values.

    Attributes:
        values: the softly sorted values, ascending, shape (B, n).
        swaps: for each layer, how far each of its pairs was exchanged, in [0, 1], (B, pairs).
    """

    values: Tensor
    swaps: list[Tensor]

    def ranks_from(self, first: int) -> Tensor:
        """The probability of each element to be ranked at ``first`` or higher, shape (B, n).

        The layers are applied to the indicator of those ranks, last one first: what the whole
        matrix of rank probabilities would give at n times the work.
        """
        indicator = torch.zeros_like(self.values)
        indicator[:, first:] = 1.0
        for layer in reversed(range(len(self.swaps))):
            indicator = _exchange(indicator, self.swaps[layer], layer % 2)
        return indicator


def soft_sort(values: Tensor, steepness: float) -> SoftSort:
    """Sort rows by an odd-even network whose comparisons are soft, with Cauchy distributed noise.

    Args:
        values: shape (B, n).
        steepness: above 0; the larger, the harder the comparisons.
    """
    swaps = []
    for layer in range(values.shape[1]):  # as many as an element may have to cross
        low, high = _pairs(values, layer % 2)
        # 1 / 2 - atan(z) / pi, without its cancellation for large z
        swap = torch.atan2(torch.ones_like(low), steepness * (high - low)) / math.pi
        values = _exchange(values, swap, layer % 2)
        swaps.append(swap)
    return SoftSort(values, swaps)


def _pairs(x: Tensor, start: int) -> tuple[Tensor, Tensor]:
    """The columns that a layer compares: (start, start + 1), (start + 2, start + 3)..."""
    stop = x.shape[1] - (x.shape[1] - start) % 2
    return x[:, start:stop:2], x[:, start + 1 : stop : 2]


def _exchange(x: Tensor, swap: Tensor, start: int) -> Tensor:
    """Each pair of columns moved towards each other's place by ``swap``."""
    low, high = _pairs(x, start)
    moved = swap * (high - low)
    pairs = torch.stack([low + moved, high - moved], dim=2).flatten(1)
    return torch.cat([x[:, :start], pairs, x[:, start + pairs.shape[1] :]], dim=1)


def similarities(
    anchor: Tensor, positives: Sequence[Tensor], num_negatives: int, stop_gradient: bool
) -> tuple[Tensor, Tensor]:
    """Cosines of each anchor with its positives, (B, m), and its hardest negatives, (B, k).

    Args:
        anchor: one view of each image, vectors of length 1, shape (B, D).
        positives: other views of the same images.
        num_negatives: how many of the other images count, the most similar ones.
        stop_gradient: whether what the anchor is compared with stands still.
    """
    others = torch.stack(list(positives), dim=1)
    fixed, others = (anchor.detach(), others.detach()) if stop_gradient else (anchor, others)
    own = torch.eye(len(anchor), dtype=torch.bool, device=anchor.device)
    cosines = (anchor @ fixed.T).masked_fill(own, -math.inf)
    # Never more than there are: a row's own minus infinity must not be among them.
    negative = cosines.topk(min(num_negatives, len(anchor) - 1), dim=1).values
    return (anchor[:, None] * others).sum(dim=2), negative


def group_order_losses(positive: Tensor, negative: Tensor, steepness: float) -> Tensor:
    """How far two groups are from being ordered, for each anchor, shape (B,).

    Args:
        positive: similarities that should be the higher ones, shape (B, m).
        negative: similarities that should be the lower ones, shape (B, k).
        steepness: of the comparisons.

    Returns:
        The mean over the elements of an anchor of -log(probability of landing in its group).
    """
    num_negatives = negative.shape[1]
    values = torch.cat([negative.sort(dim=1).values, positive.sort(dim=1).values], dim=1)
    above = soft_sort(values, steepness).ranks_from(num_negatives)
    right = torch.cat([1 - above[:, :num_negatives], above[:, num_negatives:]], dim=1)
    return -right.clamp(torch.finfo(right.dtype).tiny, 1.0).log().mean(dim=1)


class GroCo(nn.Module):
    """Rank the other views of an image above its hardest negatives, as groups: learning by sorting.

    Each view of an image is an anchor. Its similarities to the other views and to the most similar
    other images go through a differentiable sorting network, and the loss asks that each lands in
    its own group: positives above, negatives below. What is ordered already hardly counts, and the
    order inside a group never does, which contrastive losses do not leave free.

    Equation:
        x = (the k largest cosines with other images' same view, ascending; the cosines with the
        positive views, ascending), n = k + m of them, for each anchor.
        n layers compare neighbours (a, a + 1), those with even and with odd a in turn, and exchange
        them by the share 1/2 - atan(steepness * (x_{a+1} - x_a)) / pi; P is the product of the
        exchanges, and q_r = sum of P_rc over the m highest ranks c.
        loss = mean over anchors and elements of -log(q_r) for positives, -log(1 - q_r) for
        negatives.

    Args:
        num_negatives: k, at least 1. Suggested: 10. A batch with fewer other images uses them all.
        steepness: of the comparisons, above 0. Suggested: 1.
        stop_gradient: whether only the anchor is moved, and what it is compared with stands still.
        num_positive_views: the first so many views are positives, at least 2; the others are
            anchors alone, as small crops are. None makes positives of all.

    Needs:
        Embeddings of two views, ``query`` and ``document`` of shape (B, D): transform ``two_views``
        and model ``two_tower`` with ``inputs: {query: view_1, document: view_2}``. More views come
        as ``further`` of shape (B, V - 2, D): ``num_further`` of the transform, and
        ``further: further_views`` among the model's inputs. Negatives are sought in the global
        batch, whatever the workers and micro-batches. Gradients are small: with plain SGD the
        authors use a rate of 24 for a batch of 1024; Adam takes ordinary rates. Records
        ``smallest_positive``, ``hardest_negative``, their ``gap``, and the share of anchors whose
        groups are not in order, ``misordered``.

    Measured:
        Forward and backward take 3.2, 0.7 and 0.3 times those of ``contrastive`` with batches of
        128, 512 and 1024 (k = 10, one CPU core): the network costs a little for each image, and
        negatives are sought in one view. Digits without labels, augmented held-out views by the 20
        nearest clean training images, MLP 64-256-64-32 with batch normalisation, 30 epochs,
        5 seeds, 95 % intervals: untrained .242 +- .02, learning by sorting .730 +- .02,
        ``contrastive`` at temperature 0.5 .767 +- .03; with four views .762 +- .01, 0.03 (0.02 to
        0.05) more than with two, for 1.4 times the time of a training step. With two the mean gap
        rises from -0.33 to -0.02, and the share of anchors with misordered groups falls from .95
        to .82. The gain over contrastive learning, which the paper reports on ImageNet, does not
        show.

    Source:
        N. Shvetsova, F. Petersen, A. Kukleva, B. Schiele, H. Kuehne, "Learning by Sorting:
        Self-supervised Learning with Group Ordering Constraints", 2023, arXiv 2301.02009. As in
        the authors' code the network is odd-even with a Cauchy distribution; their average of two
        cross-entropies, over ranks of positives and of negatives, is one and the same number. The
        network is applied to the indicator of the highest ranks, which gives their probabilities
        without the matrix of all.

    Raises:
        ValueError: an option or a shape is out of range, or training has no negative.

    Example:
        >>> views = torch.eye(4)
        >>> objective = GroCo(num_negatives=2)
        >>> ordered = objective(views, views)["loss"]
        >>> bool(ordered < objective(views, views.flip(0))["loss"])
        True
    """

    couples = "batch"

    def __init__(
        self,
        num_negatives: int = 10,
        steepness: float = 1.0,
        stop_gradient: bool = True,
        num_positive_views: int | None = None,
    ) -> None:
        super().__init__()
        if num_negatives < 1:
            raise ValueError(f"num_negatives must be at least 1, got {num_negatives!r}")
        check_above_zero("steepness", steepness)
        if num_positive_views is not None and num_positive_views < 2:
            raise ValueError(
                f"num_positive_views must be None or at least 2, got {num_positive_views!r}"
            )
        self.num_negatives = num_negatives
        self.steepness = steepness
        self.stop_gradient = stop_gradient
        self.num_positive_views = num_positive_views

    def forward(
        self, query: Tensor, document: Tensor, further: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The loss of two views (B, D) and ``further`` ones (B, V - 2, D), and what is recorded."""
        views = self._views(query, document, further)
        num_positive = self.num_positive_views or len(views)
        losses, smallest, hardest = [], [], []
        for index, anchor in enumerate(views):
            others = [view for u, view in enumerate(views[:num_positive]) if u != index]
            positive, negative = similarities(
                anchor, others, self.num_negatives, self.stop_gradient
            )
            losses.append(group_order_losses(positive, negative, self.steepness))
            smallest.append(positive.detach().amin(dim=1))
            # One image alone, in evaluation, has none: -1 is the lowest cosine.
            hardest.append(functional.pad(negative.detach(), (0, 1), value=-1.0).amax(dim=1))
        low, high = torch.cat(smallest), torch.cat(hardest)
        return {
            "loss": torch.cat(losses).mean(),
            "smallest_positive": low.mean(),
            "hardest_negative": high.mean(),
            "gap": (low - high).mean(),
            "misordered": (low < high).to(low.dtype).mean(),
        }

    def _views(self, query: Tensor, document: Tensor, further: Tensor | None) -> list[Tensor]:
        """All views, with rows of length 1, in float32 at least."""
        _check_shapes(query, document, further)
        query = at_least_float32(query)
        views = [query, document, *(() if further is None else further.unbind(dim=1))]
        if self.num_positive_views is not None and self.num_positive_views > len(views):
            raise ValueError(
                f"num_positive_views is {self.num_positive_views}, but there are {len(views)} views"
            )
        if len(query) < 2 and self.training:
            raise ValueError("one image has no negatives in its batch: use batches of 2 or more")
        return [functional.normalize(view.to(query), dim=1) for view in views]

    def extra_repr(self) -> str:
        """The options that shape the loss, for ``print(objective)``."""
        return f"num_negatives={self.num_negatives}, steepness={self.steepness:g}"


def _check_shapes(query: Tensor, document: Tensor, further: Tensor | None) -> None:
    if query.dim() != 2 or query.shape != document.shape:
        raise ValueError(
            "query and document must have one shape (B, D), got "
            f"{tuple(query.shape)} and {tuple(document.shape)}"
        )
    if further is not None and (further.dim() != 3 or further[:, 0].shape != query.shape):
        raise ValueError(
            f"further views must have shape ({len(query)}, V - 2, {query.shape[1]}), got "
            f"{tuple(further.shape)}"
        )
