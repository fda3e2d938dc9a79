"""Contrastive losses of two views, by all negatives of an anchor or its hardest ones."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainwright_objectives.options import check_above_zero
from trainwright_objectives.precision import at_least_float32

Form = Literal["softmax", "simple"]


class Candidates(NamedTuple):
    """Similarities of anchors with what they are compared with.

    Attributes:
        positive: of each anchor with its positive, shape (A,).
        negative: of each anchor with its negatives, shape (A, M); minus infinity where an entry
            is none. Every anchor has ``num_negatives`` of them.
        num_negatives: number of negatives of one anchor.
    """

    positive: Tensor
    negative: Tensor
    num_negatives: int


def candidates(
    query: Tensor, document: Tensor, negatives: Tensor | None = None, symmetric: bool = True
) -> Candidates:
    """Who is compared with whom, in a batch or with a bank of negatives.

    Args:
        query: first views, shape (B, D).
        document: second views, in the order of the first.
        negatives: a bank that takes the place of the batch's other samples, shape (K, D).
        symmetric: both views are anchors, and in the batch the 2B - 2 views of other samples their
            negatives. Otherwise the queries alone are anchors, and the other documents negatives.
    """
    positive = (query * document).sum(dim=1)
    anchors = torch.cat([query, document]) if symmetric else query
    if symmetric:
        positive = torch.cat([positive, positive])
    if negatives is not None:
        return Candidates(positive, anchors @ negatives.T, len(negatives))
    others = anchors if symmetric else document
    sample = torch.arange(len(query), device=query.device)
    of_anchor, of_other = (sample.repeat(len(x) // len(query)) for x in (anchors, others))
    own = of_anchor[:, None] == of_other[None, :]
    similarity = (anchors @ others.T).masked_fill(own, -math.inf)
    return Candidates(positive, similarity, len(others) - len(others) // len(query))


def hardest(negative: Tensor, num_negatives: int, kept_fraction: float) -> Tensor:
    """Which negatives of an anchor are at least as similar as its upper ``kept_fraction`` quantile.

    Args:
        negative: shape (A, M), minus infinity where an entry is no negative.
        num_negatives: number of true negatives in each row.
        kept_fraction: in (0, 1]; at least one is kept, and all that are equal to the last one.

    Returns:
        Boolean, shape (A, M).
    """
    # The small number takes back what rounding adds to a whole product, as in 0.07 * 100.
    count = max(1, math.ceil(kept_fraction * num_negatives - 1e-9))
    if num_negatives == 0 or count == num_negatives:
        return negative > -math.inf
    threshold = negative.detach().topk(count, dim=1).values[:, -1:]
    return negative >= threshold


def softmax_losses(found: Candidates, kept: Tensor, temperature: float) -> Tensor:
    """``-log`` of the positive's probability among itself and the kept negatives, shape (A,)."""
    logits = (found.negative / temperature).masked_fill(~kept, -math.inf)
    margin = logits.logsumexp(dim=1) - found.positive / temperature
    return -functional.logsigmoid(-margin)  # softplus without its linear shortcut


def simple_losses(found: Candidates, kept: Tensor, negative_weight: float | None) -> Tensor:
    """The kept negatives' sum times its weight (None: their mean), less the positive, (A,)."""
    total = found.negative.masked_fill(~kept, 0.0).sum(dim=1)
    if negative_weight is None:
        return total / kept.sum(dim=1).clamp(min=1) - found.positive
    return negative_weight * total - found.positive


def unit_rows(vectors: Tensor, name: str, normalize: bool) -> Tensor:
    """Rows of length 1, in float32 at least.

    Raises:
        ValueError: a row holds what is no finite number, or without ``normalize`` has another
            length than 1.
    """
    vectors = at_least_float32(vectors)
    norms = vectors.detach().norm(dim=1)
    if not normalize:
        worst = float((norms - 1).abs().max()) if len(norms) else 0.0
        if not worst < 1e-2:  # what bfloat16 leaves of a row of length 1; NaN is caught, too
            raise ValueError(
                f"with normalize: false rows of {name} must have length 1, got one that is off by "
                f"{worst:g}: set normalize, or let the model do it"
            )
        return vectors
    if not bool(norms.isfinite().all()):
        raise ValueError(f"{name} holds numbers that are not finite")
    return functional.normalize(vectors, dim=1)


class Contrastive(nn.Module):
    """Two views of a sample attract, views of other samples repel: contrastive loss, hard or not.

    With the softmax form the loss is the InfoNCE of the batch (NT-Xent). Its temperature says how
    the repulsion is shared out: the smaller, the more of it falls to the nearest negatives, which
    spreads embeddings evenly (uniformity) and tears apart what belongs together (tolerance).
    The simple form treats all negatives alike, as an infinite temperature does, and is known not to
    work. With ``kept_fraction`` below 1 only an anchor's most similar negatives count (hard
    contrastive loss): even large temperatures, or the simple form, then spread embeddings.

    Equation:
        s_ij = cosine of anchor i and candidate j, s_ii its positive, K_i its kept negatives:
        those with s_ij at or above the upper kept_fraction quantile, through which no gradient
        goes. Softmax: L_i = -log(exp(s_ii / tau) / (exp(s_ii / tau) + sum over K_i of
        exp(s_ij / tau))). Simple: L_i = -s_ii + negative_weight * sum over K_i of s_ij. The loss
        is the mean over anchors.

    Args:
        temperature: tau of the softmax form, above 0. Suggested: 0.2 to 0.3, with hard negatives
            0.7 to 1. Losses of different temperatures cannot be compared, and gradients grow as
            1 / tau. Not used by the simple form.
        form: ``softmax`` or ``simple``.
        kept_fraction: share of an anchor's negatives that count, above 0, at most 1: rounded up,
            ties with the last one included. 1 keeps all. Suggested for thousands of negatives:
            0.03 to 0.08.
        negative_weight: factor of the simple form's sum, at least 0; None takes one over the
            number of kept negatives, at which attraction and repulsion are in balance.
        symmetric: whether both views are anchors. In the batch the negatives of an anchor then are
            the 2B - 2 views of other samples; otherwise those of a query the other documents.
        normalize: scale embeddings to length 1. Without it they must have that length.

    Needs:
        Embeddings of two views, ``query`` and ``document`` of shape (B, D): transform ``two_views``
        and model ``two_tower`` with ``inputs: {query: view_1, document: view_2}``. Samples of the
        global batch are compared, whatever the workers and micro-batches: negatives of a worker's
        own share alone would make the loss depend on the number of workers. ``negatives`` of
        shape (K, D), which the strategy ``memory_bank`` adds to the outputs, take the place of
        those of the batch. Labels are not used: negatives of the anchor's own class stay. Hard
        negatives from the first update on can pull all embeddings into one point when few are
        kept: keep more, take a bank, or train on all of them first (``pretraining``); probe
        ``uniformity_tolerance`` warns.

    Measured:
        Forward and backward take 1.5 and 1.8 times those of the plain loss when a tenth of the
        negatives is kept, for batches of 128 and 512, and 0.8 times for the simple form (one CPU
        core). Digits without labels, MLP 64-128-128-32, 254 negatives, 40 epochs, 5 seeds,
        uniformity, accuracy of 20 nearest neighbours and of a linear classifier (95 % intervals up
        to +- 0.08, +- 0.03, +- 0.03): temperature 0.07: 2.85, .879, .827; 0.3: 2.76, .871, .845;
        1: 2.30, .803, .810; simple: 1.45, .550, .608. With the hardest 30 %: 0.3: 2.83, .869, .856;
        1: 2.74, .869, .854; simple: 2.65, .869, .864. So hard negatives make the temperature matter
        little and mend the simple form. That a temperature in between is best, the paper's finding
        on larger sets, shows in the linear classifier (against 1: paired gain .035 +- .013; against
        0.07: .018 +- .022, which may be chance), not in the neighbours. With 10 % or fewer, 25 of
        254, embeddings collapsed from the start at every temperature; with 8.19 % after 15 epochs
        on all negatives they did not (3.01, .878, .823), nor in a bank.

    Source:
        F. Wang, H. Liu, "Understanding the Behaviour of Contrastive Loss", 2021, arXiv 2012.09740,
        who train against a memory bank of 4095 negatives. The weight of the simple loss is not
        given there: ours is the limit of the softmax form at an infinite temperature, over the
        kept negatives. Both views as anchors in the batch: T. Chen, S. Kornblith, M. Norouzi,
        G. Hinton, 2020, arXiv 2002.05709.

    Raises:
        ValueError: an option or a shape is out of range, embeddings are not finite, or training
            has no negative.

    Example:
        >>> objective = Contrastive(temperature=0.3)
        >>> views = torch.eye(4)
        >>> objective(views, views).item() < objective(views, views.flip(0)).item()
        True
    """

    couples = "batch"

    def __init__(
        self,
        temperature: float = 0.3,
        form: Form = "softmax",
        kept_fraction: float = 1.0,
        negative_weight: float | None = None,
        symmetric: bool = True,
        normalize: bool = True,
    ) -> None:
        super().__init__()
        check_above_zero("temperature", temperature)
        if form not in get_args(Form):
            raise ValueError(f"form must be softmax or simple, got {form!r}")
        if not 0 < kept_fraction <= 1:
            raise ValueError(f"kept_fraction must be above 0 and at most 1, got {kept_fraction!r}")
        if negative_weight is not None:
            _check_weight(negative_weight, form)
        self.temperature = temperature
        self.form = form
        self.kept_fraction = kept_fraction
        self.negative_weight = negative_weight
        self.symmetric = symmetric
        self.normalize = normalize

    def forward(self, query: Tensor, document: Tensor, negatives: Tensor | None = None) -> Tensor:
        """The mean loss over the anchors of ``query`` and ``document`` (B, D)."""
        _check_shapes(query, document, negatives)
        if negatives is None and len(query) < 2 and self.training:
            raise ValueError("one sample has no negatives in its batch: use batches of 2 or more")
        query = unit_rows(query, "query", self.normalize)
        document = unit_rows(document, "document", self.normalize)
        if negatives is not None:
            negatives = unit_rows(negatives.to(query.dtype), "negatives", self.normalize)
        found = candidates(query, document, negatives, self.symmetric)
        kept = hardest(found.negative, found.num_negatives, self.kept_fraction)
        if self.form == "simple":
            return simple_losses(found, kept, self.negative_weight).mean()
        return softmax_losses(found, kept, self.temperature).mean()

    def extra_repr(self) -> str:
        """The options that shape the loss, for ``print(objective)``."""
        shape = f"temperature={self.temperature:g}" if self.form == "softmax" else "form=simple"
        return f"{shape}, kept_fraction={self.kept_fraction:g}"


def _check_weight(negative_weight: float, form: str) -> None:
    if not (math.isfinite(negative_weight) and negative_weight >= 0):
        raise ValueError(
            f"negative_weight must be None or a number of at least 0, got {negative_weight!r}"
        )
    if form != "simple":
        raise ValueError("negative_weight belongs to form: simple; the softmax form has none")


def _check_shapes(query: Tensor, document: Tensor, negatives: Tensor | None) -> None:
    if query.dim() != 2 or query.shape != document.shape:
        raise ValueError(
            "query and document must have one shape (B, D), got "
            f"{tuple(query.shape)} and {tuple(document.shape)}"
        )
    if negatives is not None and (negatives.dim() != 2 or negatives.shape[1] != query.shape[1]):
        raise ValueError(
            f"negatives must have shape (K, {query.shape[1]}), got {tuple(negatives.shape)}"
        )
