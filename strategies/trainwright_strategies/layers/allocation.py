"""Which features of a batch count: by token, by the whole batch, or by feature."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Rule = Literal["token_choice", "mutual_choice", "feature_choice"]


def token_choice(affinities: Tensor, k: int) -> Tensor:
    """The ``k`` largest of each row, as a mask of shape (B, F); only numbers above 0 count."""
    places = _comparable(affinities).topk(min(k, affinities.shape[1]), dim=1).indices
    return torch.zeros_like(affinities, dtype=torch.bool).scatter_(1, places, True) & (
        affinities > 0
    )


def mutual_choice(affinities: Tensor, total: int) -> Tensor:
    """The ``total`` largest of the whole matrix, as a mask; only numbers above 0 count.

    Chosen by place and not by a threshold, so that equal numbers are never too many.
    """
    flat = _comparable(affinities).flatten()
    places = flat.topk(min(total, len(flat))).indices
    mask = torch.zeros_like(flat, dtype=torch.bool).scatter_(0, places, True)
    return mask.view_as(affinities) & (affinities > 0)


def feature_choice(affinities: Tensor, counts: Tensor) -> Tensor:
    """The ``counts[i]`` largest of each column ``i``, as a mask; only numbers above 0 count."""
    # Sorting rows is several times faster than sorting columns.
    columns = _comparable(affinities).T.contiguous()
    order = columns.argsort(dim=1, descending=True)
    kept = torch.arange(len(affinities), device=order.device) < counts.to(order.device)[:, None]
    mask = torch.zeros_like(columns, dtype=torch.bool).scatter_(1, order, kept)
    return mask.T & (affinities > 0)


def _comparable(affinities: Tensor) -> Tensor:
    """In float32 and without gradient.

    Raises:
        ValueError: some are not numbers.
    """
    values = affinities.detach().float()
    if values.isnan().any():
        raise ValueError("the affinities are not all numbers: the inputs or the weights have NaN")
    return values


def zipf_counts(total: int, num_features: int, exponent: float, largest: int) -> Tensor:
    """How many tokens the feature of each rank gets: whole numbers near rank ** -exponent.

    Args:
        total: their sum, at most ``num_features * largest``. With fewer than ``num_features`` the
            first ranks get one each; otherwise none gets less than one.
        num_features: number of ranks.
        exponent: at least 0; 0 shares evenly.
        largest: no rank gets more; the number of tokens.

    Returns:
        int64, shape (num_features,), descending.

    Example:
        >>> zipf_counts(64, 8, 1.0, 16).tolist()
        [16, 14, 9, 7, 6, 5, 4, 3]
    """
    ranks = torch.arange(1, num_features + 1, dtype=torch.float64)
    if total <= num_features:
        return (ranks <= total).long()
    weights = ranks**-exponent
    shares = weights.new_zeros(num_features)
    free = torch.ones(num_features, dtype=torch.bool)
    # A bound that is met is taken out, and the others share the rest anew: at most F times.
    for bound, exceeds in ((float(largest), torch.gt), (1.0, torch.lt)):
        while True:
            rest = total - shares[~free].sum()
            shares[free] = rest * weights[free] / weights[free].sum()
            met = free & exceeds(shares, bound)
            if not met.any():
                break
            shares[met], free = bound, free & ~met
    counts = (shares + 1e-9).floor().long()
    missing = int(total - counts.sum())
    able = torch.where(counts < largest, shares - counts, -1.0)
    counts[able.argsort(descending=True, stable=True)[:missing]] += 1
    return counts


class Selection(nn.Module):
    """Lets the chosen features through, and keeps what evaluation needs to choose without a batch.

    In training the features of a batch compete; in evaluation one counts where it reaches a
    threshold, the running mean of the smallest that was chosen. ``token_choice`` needs none.

    Args:
        rule: who chooses.
        num_features: F.
        k: features per token on average, or of each token.

    Attributes:
        given: mask for the next batch, where it was chosen among more samples than that; None.
        counts: tokens per feature for ``feature_choice``.
        chosen: the last mask, and ``seen`` the affinities it was chosen from.
        density: share of the tokens that each feature counts for, a running mean.
        idle: tokens since each feature last counted.
        threshold: of each feature, or of all.
    """

    def __init__(self, rule: Rule, num_features: int, k: int) -> None:
        super().__init__()
        self.rule = rule
        self.k = k
        self.given: Tensor | None = None
        self.counts: Tensor | None = None
        self.chosen: Tensor | None = None
        self.seen: Tensor | None = None
        thresholds = num_features if rule == "feature_choice" else 1
        self.register_buffer("density", torch.zeros(num_features))
        self.register_buffer("idle", torch.zeros(num_features))
        self.register_buffer("threshold", torch.full((thresholds,), torch.inf))
        self.register_buffer("updates", torch.zeros(1))
        self.density: Tensor
        self.idle: Tensor
        self.threshold: Tensor
        self.updates: Tensor

    def forward(self, affinities: Tensor) -> Tensor:
        """Affinities (B, F) -> codes (B, F), 0 where a feature does not count."""
        if self.training:
            self.seen = affinities.detach()
            self.chosen = self.choose(affinities) if self.given is None else self.given
            return affinities * self.chosen
        if self.rule == "token_choice":
            return affinities * token_choice(affinities, self.k)
        return affinities * (affinities >= self.threshold.to(affinities.dtype))

    def last(self) -> tuple[Tensor, Tensor]:
        """Affinities and mask of the last batch."""
        assert self.seen is not None
        assert self.chosen is not None
        return self.seen, self.chosen

    def choose(self, affinities: Tensor) -> Tensor:
        """The mask of a batch by the rule, shape (B, F)."""
        if self.rule == "token_choice":
            return token_choice(affinities, self.k)
        if self.rule == "mutual_choice" or self.counts is None:
            return mutual_choice(affinities, self.k * len(affinities))
        return feature_choice(affinities, self.counts)

    @torch.no_grad()
    def note(self, affinities: Tensor, mask: Tensor, decay: float) -> None:
        """Take a batch into the running means, the first ones as plain means.

        Args:
            affinities: shape (B, F).
            mask: what was chosen of them.
            decay: of the running means, in [0, 1).
        """
        fired = mask.sum(dim=0)
        self.updates += 1
        share = (1 / self.updates).clamp(min=1 - decay)
        self.density.lerp_(fired / len(mask), share)
        self.idle.add_(len(mask)).mul_(fired == 0)
        smallest = affinities.float().masked_fill(~mask, torch.inf)
        smallest = smallest.amin(dim=0) if len(self.threshold) > 1 else smallest.min()[None]
        moved = torch.where(self.threshold.isinf(), smallest, self.threshold.lerp(smallest, share))
        self.threshold.copy_(torch.where(smallest.isinf(), self.threshold, moved))

    def ranks(self) -> Tensor:
        """Rank of each feature by its density, from 0."""
        return self.density.argsort(descending=True, stable=True).argsort()
