"""The geometry of neural collapse: what theory predicts, and how far features are from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from trainwright_strategies.layers.deep_linear import product

Target = Literal["identity", "etf", "gof"]


def threshold(depth: int) -> float:
    """The cost of a class, M * weight_decay * tau^(1/M) / share, above which it collapses."""
    return float((depth - 1) ** ((depth - 1) / depth)) / depth


def strengths(shares: Tensor, depth: int, weight_decay: float, feature_decay: float) -> Tensor:
    """The squared length of each class's row of the product of the classifier's layers.

    The minimiser of (share / 2) * tau / (S + tau) + (M / 2) * weight_decay * S^(1/M) over S >= 0,
    with tau the feature decay. For M >= 2 the stationary point outlives its being the minimum, so
    that the threshold decides and not its existence; at the threshold itself it is kept.

    Args:
        shares: of the classes among the samples, shape (K,), float64.
        depth: number of layers M, at least 1.
        weight_decay: of each layer, above 0.
        feature_decay: tau, above 0: the paper's feature decay times the number of samples.

    Returns:
        Shape (K,); 0 for a class that collapses.
    """
    if depth == 1:
        return ((shares * feature_decay / weight_decay).sqrt() - feature_decay).clamp(min=0)
    cost = depth * weight_decay * feature_decay ** (1 / depth) / shares
    lives = cost <= threshold(depth)
    root = _largest_root(torch.where(lives, cost, torch.full_like(cost, threshold(depth))), depth)
    return torch.where(lives, feature_decay * root**depth, torch.zeros_like(cost))


def _largest_root(cost: Tensor, depth: int) -> Tensor:
    """The largest x with M * x^(M-1) / (x^M + 1)^2 = cost, by bisection.

    Behind its maximum the left side falls, and it is below M / x^(M+1).
    """
    low = torch.full_like(cost, ((depth - 1) / (depth + 1)) ** (1 / depth))
    high = (depth / cost) ** (1 / (depth + 1))
    for _ in range(80):
        middle = (low + high) / 2
        above = depth * middle ** (depth - 1) / (middle**depth + 1) ** 2 > cost
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    return (low + high) / 2


@dataclass(frozen=True)
class ClassStatistics:
    """Sums over samples from which all measures follow; float64.

    Attributes:
        counts: samples of each class, shape (K,).
        sums: features added up by class, shape (K, d).
        moment: sum over all samples of h h^T, shape (d, d).
    """

    counts: Tensor
    sums: Tensor
    moment: Tensor

    @classmethod
    def zeros(cls, num_classes: int, width: int) -> ClassStatistics:
        """No samples."""
        double = torch.float64
        return cls(
            torch.zeros(num_classes, dtype=double),
            torch.zeros(num_classes, width, dtype=double),
            torch.zeros(width, width, dtype=double),
        )

    def add(self, features: Tensor, target: Tensor) -> None:
        """Count samples in: features (B, d) and class indices (B,)."""
        features, target = features.detach().double().cpu(), target.detach().long().cpu()
        self.counts.index_add_(0, target, torch.ones(len(target), dtype=torch.float64))
        self.sums.index_add_(0, target, features)
        self.moment.addmm_(features.T, features)

    def present(self) -> ClassStatistics:
        """Those of the classes that have samples."""
        there = self.counts > 0
        return ClassStatistics(self.counts[there], self.sums[there], self.moment)

    @property
    def means(self) -> Tensor:
        """Class means, shape (K, d)."""
        return self.sums / self.counts[:, None]

    @property
    def centred(self) -> Tensor:
        """Class means without the mean of all samples (not that of the means), shape (K, d)."""
        return self.means - self.sums.sum(dim=0) / self.counts.sum()


def within_over_between(statistics: ClassStatistics) -> float:
    """NC1: trace(Sigma_W pinv(Sigma_B)) / K, 0 when the features are their class means."""
    number, classes = statistics.counts.sum(), len(statistics.counts)
    means, centred = statistics.means, statistics.centred
    within = (statistics.moment - means.T @ (statistics.counts[:, None] * means)) / number
    between = centred.T @ centred / classes
    inverse = torch.linalg.pinv(between, rtol=1e-10, hermitian=True)
    return float((within * inverse).sum().clamp(min=0)) / classes


@dataclass(frozen=True)
class Frame:
    """What a theory says of the class vectors, up to rotation and, but for ``gof``, to scale.

    Attributes:
        target: ``identity``: orthogonal vectors of one length; ``etf``: a simplex equiangular
            tight frame; ``gof``: a general orthogonal frame, its lengths by ``strengths``.
        strength: squared lengths of the rows of the whole classifier, shape (K,).
        feature_decay: tau of ``strengths``.
    """

    target: Target
    strength: Tensor
    feature_decay: float = 0.0

    def classifier(self, share: float = 1.0) -> Tensor:
        """Inner products of the rows of the last layers' product, a ``share`` of all layers."""
        return self._frame(self.strength**share)

    def features(self, share: float = 0.0) -> Tensor:
        """Inner products of the class means behind the first layers, a ``share`` of all."""
        return self._frame(self.strength ** (share + 1) / self.scale**2)

    @property
    def outputs(self) -> Tensor:
        """The outputs for the class means."""
        return self._frame(self.strength / self.scale)

    @property
    def scale(self) -> Tensor:
        """How many times as long as its class mean a row of the classifier is, shape (K,)."""
        return self.strength + self.feature_decay

    @property
    def lengths(self) -> tuple[Tensor, Tensor]:
        """Of the rows of the classifier and of the class means, shape (K,) each."""
        root = self.strength.sqrt()
        return root, root / self.scale

    def length_error(self, classifier: Tensor) -> float:
        """Largest error of a row's length, over the largest length that is expected.

        With nothing expected, which no quotient can be taken of, it is the largest length.
        """
        expected = self.strength.sqrt()
        error = (classifier.norm(dim=1) - expected).abs().max()
        return float(error / expected.max()) if expected.max() > 0 else float(error)

    def _frame(self, lengths: Tensor) -> Tensor:
        if self.target == "gof":
            return torch.diag(lengths)
        eye = torch.eye(len(lengths), dtype=lengths.dtype)
        return eye - 1 / len(lengths) if self.target == "etf" else eye


def frame(
    target: Target,
    counts: Tensor,
    depth: int = 1,
    weight_decay: float = 0.0,
    feature_decay: float = 0.0,
) -> Frame:
    """The prediction for classes of these sizes; the decays count for ``gof`` alone."""
    if target != "gof":
        return Frame(target, torch.ones_like(counts))
    strength = strengths(counts / counts.sum(), depth, weight_decay, feature_decay)
    return Frame(target, strength, feature_decay)


def frame_distance(found: Tensor, expected: Tensor) -> float:
    """Frobenius distance of two matrices after each is divided by its norm; in [0, 2]."""
    return float((_unit(found) - _unit(expected)).norm())


def _unit(matrix: Tensor) -> Tensor:
    """A matrix of zeros, that of classes that have all collapsed, stays one."""
    norm = matrix.norm()
    return matrix / norm if norm > 0 else matrix


def distances(
    statistics: ClassStatistics, weights: Sequence[Tensor], expected: Frame
) -> dict[str, float]:
    """NC2 of classifier and features, NC3, and how far the classifier is from the features.

    Args:
        statistics: of the features, for classes that all have samples.
        weights: of the classifier's layers, first to last, float64; the last has K rows.
        expected: the prediction.
    """
    whole = product(weights)
    means = statistics.centred if expected.target == "etf" else statistics.means
    return {
        "nc2_w": frame_distance(whole @ whole.T, expected.classifier()),
        "nc2_h": frame_distance(means @ means.T, expected.features()),
        "nc3": frame_distance(whole @ means.T, expected.outputs),
        "nc3_duality": frame_distance(whole, expected.scale[:, None] * means),
    }


def layer_distances(
    statistics: ClassStatistics, weights: Sequence[Tensor], expected: Frame
) -> dict[str, float]:
    """NC2 where the classifier begins at a later layer, and what is before it makes features."""
    found: dict[str, float] = {}
    depth = len(weights)
    means = statistics.centred if expected.target == "etf" else statistics.means
    for first in range(1, depth):
        rows = product(weights[first:])
        inner = means @ product(weights[:first]).T
        share = first / depth
        found[f"nc2_w_from_{first + 1}"] = frame_distance(
            rows @ rows.T, expected.classifier(1 - share)
        )
        found[f"nc2_h_from_{first + 1}"] = frame_distance(inner @ inner.T, expected.features(share))
    return found
