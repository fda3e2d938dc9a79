"""Updates of clients, moved into the directions that most of them share, then averaged."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

import torch
from pydantic import Field
from torch import Tensor

from trainwright.federated import UPDATE, Aggregator, Federation, Reduced, State

Calibration = Literal["off", "majority"]
Projection = Literal["rescaled", "plain"]
Proportion = Annotated[float, Field(gt=0, le=1)]
Tolerance = Annotated[float, Field(ge=0, lt=1)]

MEMORY = 0.99
"""Share of the former average in the running average of steps."""


def num_directions(num_clients: int, k_proportion: float) -> int:
    """How many principal directions are kept, at least one."""
    # 0.29 * 100 is 28.999999999999996.
    return max(1, int(num_clients * k_proportion + 1e-9))


def revision(
    gram: Tensor,
    k_proportion: float = 0.8,
    calibrate: Calibration = "off",
    projection: Projection = "rescaled",
    eps: float = 1e-10,
) -> Tensor:
    """The matrix that revises updates: row i of ``revision(G @ G.T) @ G`` is update i, revised.

    Everything about the directions w_j = G^T e_j follows from the Gram matrix: its eigenvalues
    are |w_j|^2, and <g_i, w_j> is element i of its product with e_j.

    Args:
        gram: inner products of the updates, shape (K, K), float64.
        k_proportion: share of the K directions that are kept.
        calibrate: whose sign of <g_i, w_j> counts: ``off`` each client's own, ``majority`` that
            of most clients.
        projection: length along w_j: ``rescaled`` or ``plain``.
        eps: what counts as zero, relative.

    Returns:
        Shape (K, K), float64; zeros if all updates are zero.
    """
    values, vectors = (part.flip(-1) for part in torch.linalg.eigh(gram))  # largest first
    kept = values > eps * values[0]
    kept[num_directions(len(gram), k_proportion) :] = False
    lengths, vectors = values[kept].sqrt(), vectors[:, kept]
    along = gram @ vectors / lengths
    norms = gram.diagonal().sqrt().unsqueeze(1)
    signs = _signs(along, eps * norms)
    reach = along.abs()
    if projection == "rescaled":
        reach = norms * values[kept] / values.clamp_min(0).sum()
    if calibrate == "majority":
        mean = _signs(along.mean(dim=0), eps * norms.mean())
        votes = signs.sum(dim=0).sign()
        signs = torch.where(votes == 0, mean, votes)
    matrix: Tensor = (signs * reach) @ (vectors / lengths).T
    return matrix


def _signs(values: Tensor, zero: Tensor) -> Tensor:
    """Signs of ``values``; 0 for those that are no larger than ``zero``."""
    return torch.where(values.abs() > zero, values.sign(), 0.0)


class PrincipalGradientAggregation(Aggregator):
    """Average updates after each was turned into the directions that most clients share.

    Updates of clients with different data contradict each other, and a plain mean keeps the
    contradictions. Here the directions are the principal ones of the stack of updates, tensor by
    tensor, and along each the share of all updates' energy in it decides how far a client moves.

    Equation:
        for each parameter tensor, with the updates G = [g_1 ... g_K]^T of K clients,
        (1 / K) G G^T = E diag(s) E^T, s_1 >= s_2 >= ..., and w_j = G^T e_j;
        r_i = sum over j <= k of s_j / (s_1 + ... + s_K) * |g_i| * sign(<g_i, w_j>) * w_j / |w_j|,
        or, plain, r_i = sum over j <= k of <g_i, w_j> * w_j / |w_j|^2;
        w <- w + (1 / K) (r_1 + ... + r_K), with k = max(1, floor(K * k_proportion)).

    Args:
        k_proportion: share of the directions that are kept, above 0, at most 1. Suggested: 0.8
            (authors).
        calibrate: ``off`` follows the authors' code, in which turning a direction changes
            nothing; with ``majority`` the sign of most clients counts for all of them, and that
            of the mean update where they are even.
        projection: ``rescaled`` is the authors' code; ``plain`` leaves the projections as long
            as they are, which costs far less under skewed labels.
        eps: directions with s_j <= eps * s_1 are left out, and |<g_i, w_j>| <= eps |g_i| |w_j|
            counts as zero; at least 0, below 1. Suggested: 1e-10.

    Needs:
        The update of each single client: neither masked sums nor any other secure aggregation.
        All clients count alike, however many samples they have. Tensors of one element, and all
        tensors in the first round and until one of them has moved, are plainly averaged. The map
        is not continuous: an update all but orthogonal to a direction is moved along it at full
        length, one way or the other.

    Measured:
        It does not pay in accuracy here: rescaled, the tensor that clients contest most, the
        output layer, moves at a third to two thirds of the mean's length. ``trainwright run
        jobs/federated/fedld.yaml`` (digits, 5 clients, MLP 64-64-10 from scratch, 2 epochs in a
        round, 5 seeds), accuracy after 5, 10 and 40 rounds at Dirichlet 0.3: ``fedavg`` .555, .734,
        .918; this .320, .397, .767 (at the end -.227 to -.075 against ``fedavg``); ``majority``
        .259, .447, .816; ``plain`` .447, .706, .898 (-.043 to .002). At Dirichlet 100: ``fedavg``
        .770, .858, .934; this .762, .853, .929 (-.010 to -.001). The authors' gain is on a
        pretrained ResNet-50, which was not tried. What shows is the mechanism: updates of a shared
        and a random part with a mean cosine of .20, .47 and .80 between clients have .56, .89 and
        .99 afterwards; at 0 nothing changes. The server's step takes 0.4 ms for 5 clients of 4,810
        weights, 5.6 ms for 100, and 1.6 times a mean for 10 clients of 10^6 (one CPU core).

    Source:
        S. Zeng, P. Guo, S. Wang, J. Wang, Y. Zhou, L. Qu, "Tackling Data Heterogeneity in Federated
        Learning via Loss Decomposition", MICCAI 2024, arXiv 2408.12300, and the authors' code,
        which is followed, except that it divides 0 by 0 for updates that are orthogonal to a
        direction, or fewer dimensions than directions (``eps``), lets k be 0, which stops
        training, counts clients that did not take part, and projects running statistics as well.
        ``majority`` and ``plain`` are ours.

    Raises:
        ValueError: an option is out of range.
    """

    reduce = "stack"
    weighting = "uniform"

    def __init__(
        self,
        k_proportion: Proportion = 0.8,
        calibrate: Calibration = "off",
        projection: Projection = "rescaled",
        eps: Tolerance = 1e-10,
    ) -> None:
        if not 0 < k_proportion <= 1:
            raise ValueError(f"k_proportion must be above 0 and at most 1, got {k_proportion!r}")
        if calibrate not in get_args(Calibration):
            raise ValueError(f"calibrate must be off or majority, got {calibrate!r}")
        if projection not in get_args(Projection):
            raise ValueError(f"projection must be rescaled or plain, got {projection!r}")
        if not 0 <= eps < 1:
            raise ValueError(f"eps must be at least 0 and below 1, got {eps!r}")
        self.k_proportion = k_proportion
        self.calibrate: Calibration = calibrate
        self.projection: Projection = projection
        self.eps = eps

    def start(self, federation: Federation) -> State:
        """The running average of steps, of which matters only whether it is zero."""
        return {"history": torch.zeros(federation.layout.size)}

    def server(self, weights: Tensor, reduced: Reduced, state: State) -> tuple[Tensor, State]:
        """The weights after the step that all clients make together."""
        updates, history = reduced.stack[UPDATE], state["history"]
        step = torch.empty_like(weights, dtype=torch.float64)
        for span in reduced.federation.layout:
            at = slice(span.start, span.stop)
            step[at] = self.step(updates[:, at].double(), moved=bool(history[at].any()))
        history = MEMORY * history + (1 - MEMORY) * step.to(history.dtype)
        return (weights.double() + step).to(weights.dtype), {"history": history}

    def step(self, updates: Tensor, moved: bool) -> Tensor:
        """The step of one tensor, shape (d,), float64.

        Args:
            updates: of the clients, shape (K, d), float64.
            moved: whether the tensor has moved in an earlier round.

        Raises:
            ValueError: an update is not finite.
        """
        if not moved or updates.shape[1] == 1:
            return updates.mean(dim=0)
        gram = updates @ updates.T
        if not gram.isfinite().all():
            raise ValueError("principal_gradient_aggregation needs updates that are finite")
        matrix = revision(gram, self.k_proportion, self.calibrate, self.projection, self.eps)
        return matrix.mean(dim=0) @ updates
