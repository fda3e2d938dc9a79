"""A linear output layer that is never multiplied out: spherical losses at any number of classes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainwright_strategies.layers.shrink import Shrink

BLOCK = 8192
"""Rows of W that are multiplied out at a time."""

REFRESH = 64
"""Updates after which the inverse of U, kept up to date by low-rank changes, is taken anew."""


class Statistics(NamedTuple):
    """What a spherical loss knows of the outputs o of each sample; float64, shape (B,) each.

    Attributes:
        target: the output of the target class.
        total: the sum of all outputs.
        squares: the sum of their squares.
    """

    target: Tensor
    total: Tensor
    squares: Tensor


class SphericalHead(nn.Module):
    """Outputs ``o = W h`` of D classes, kept as ``W = V U + 1 shift^T``.

    With ``sums = W^T 1`` and ``gram = W^T W`` at hand, the statistics of a sample cost O(d^2),
    and so does a step of plain gradient descent on the whole of W: what it does to all rows
    alike goes into U and ``shift``, and of V only the rows of the targets change. What is written
    into V is divided by U, so U must not come near singular: before it does, W is multiplied out.
    A bias is the weight of a last input that is always 1. In training the layer gives its input
    back, in evaluation the outputs. Everything is float64, because errors add up over updates.

    Args:
        layer: the layer to begin with.
        max_condition: bound of the condition of U, |U| |U^-1| in Frobenius norms over the width.

    Attributes:
        folds: how often W was multiplied out, shape (1,).
        age: updates since the inverse of U was taken anew, shape (1,).
    """

    steady_buffers = True
    """No forward pass changes them, so that none needs a copy of W."""

    def __init__(self, layer: nn.Linear, max_condition: float = 1e6) -> None:
        super().__init__()
        self.max_condition = max_condition
        self._given: Tensor | None = None
        self.dtype = layer.weight.dtype
        self.has_bias = layer.bias is not None
        weight = layer.weight.detach()
        width = weight.shape[1] + self.has_bias
        rows = weight.new_empty(len(weight), width, dtype=torch.float64)
        rows[:, : weight.shape[1]] = weight
        if layer.bias is not None:
            rows[:, -1] = layer.bias.detach()
        self.register_buffer("rows", rows)
        self.register_buffer("factor", torch.eye(width, dtype=torch.float64))
        self.register_buffer("inverse", torch.eye(width, dtype=torch.float64))
        self.register_buffer("shift", torch.zeros(width, dtype=torch.float64))
        self.register_buffer("sums", torch.zeros(width, dtype=torch.float64))
        self.register_buffer("gram", torch.zeros(width, width, dtype=torch.float64))
        self.register_buffer("folds", torch.zeros(1))
        self.register_buffer("age", torch.full((1,), float(REFRESH)))
        self.rows: Tensor
        self.factor: Tensor
        self.inverse: Tensor
        self.shift: Tensor
        self.sums: Tensor
        self.gram: Tensor
        self.folds: Tensor
        self.age: Tensor
        self._remeasure()

    @property
    def num_classes(self) -> int:
        """D."""
        return len(self.rows)

    def written(self, rows: Tensor) -> Tensor:
        """The rows of W of some rows of V, shape (n, width): O(n d^2)."""
        return rows @ self.factor + self.shift

    def blocks(self) -> Iterator[Tensor]:
        """V in views of some thousand rows, so that no copy of it whole is made."""
        yield from torch.split(self.rows, BLOCK)

    def products(self) -> tuple[Tensor, Tensor]:
        """``W^T 1`` and ``W^T W``, multiplied out anew: O(D d^2)."""
        return _products(self.written(block) for block in self.blocks())

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, d): as they are in training, otherwise the outputs (B, D)."""
        if self.training:
            self._given = features.detach()
            return features
        inputs = self.inputs(features)
        seen, every = inputs @ self.factor.T, (inputs @ self.shift)[:, None]
        parts = [(seen @ block.T + every).to(self.dtype) for block in self.blocks()]
        return torch.cat(parts, dim=1)

    def gave(self, features: Tensor) -> bool:
        """Whether these are features, or some of those, that came from here in training."""
        given = self._given
        return given is not None and (
            features.untyped_storage().data_ptr() == given.untyped_storage().data_ptr()
        )

    def inputs(self, features: Tensor) -> Tensor:
        """What W is multiplied with: the features, and 1 for the bias."""
        features = features.double()
        return functional.pad(features, (0, 1), value=1.0) if self.has_bias else features

    def statistics(self, inputs: Tensor, target: Tensor) -> Statistics:
        """Target output, sum and sum of squares without the outputs; O(d^2) per sample.

        Args:
            inputs: see :meth:`inputs`, shape (B, width); differentiable.
            target: class indices, shape (B,).
        """
        own = self.written(self.rows[target])
        return Statistics(
            (own * inputs).sum(dim=1),
            inputs @ self.sums,
            ((inputs @ self.gram) * inputs).sum(dim=1).clamp(min=0),
        )

    @torch.no_grad()
    def descend(self, inputs: Tensor, target: Tensor, gradient: Statistics, lr: float) -> None:
        """One step of gradient descent on W; its cost does not depend on D.

        The gradient by W is the sum over samples of ``g_target e_target h^T + g_total 1 h^T +
        2 g_squares W h h^T``, so that W becomes ``W A + 1 v^T + S`` with few rows in S.

        Args:
            inputs: of all samples of the update, shape (B, width).
            target: shape (B,).
            gradient: of the loss of the update by the statistics of each sample.
            lr: the learning rate.
        """
        shrink = Shrink(inputs, -2 * lr * gradient.squares)  # A
        every = -lr * gradient.total @ inputs  # v
        classes, place = torch.unique(target, return_inverse=True)
        sparse = inputs.new_zeros(len(classes), inputs.shape[1])  # the rows of S
        sparse.index_add_(0, place, -lr * gradient.target[:, None] * inputs)
        before = shrink.times(self.written(self.rows[classes])) + every  # these rows of W A + 1 v^T
        self.factor.copy_(shrink.times(self.factor))
        self.shift.copy_(shrink.times(self.shift) + every)
        if not self._invert(shrink):
            self._fold(classes, sparse)
            return
        self._update_moments(shrink, every, before, sparse)
        self.rows.index_add_(0, classes, sparse @ self.inverse)

    def _invert(self, shrink: Shrink) -> bool:
        """Bring the inverse of U up to date; False if U is conditioned too badly."""
        self.age += 1
        inverse = shrink.divide(self.inverse) if self.age < REFRESH else None
        if inverse is None:
            self.age.zero_()
            inverse, failed = torch.linalg.inv_ex(self.factor)
            if failed:
                return False
        self.inverse.copy_(inverse)
        condition = self.factor.norm() * inverse.norm() / len(inverse)
        return bool(condition <= self.max_condition)

    def _fold(self, classes: Tensor, sparse: Tensor) -> None:
        """Multiply W out, add rows to it that cannot be divided by U, begin anew with U = 1."""
        for block in self.blocks():
            block.copy_(self.written(block))
        self.rows.index_add_(0, classes, sparse)
        self.factor.copy_(torch.eye(len(self.factor)))
        self.inverse.copy_(self.factor)
        self.shift.zero_()
        self.age.zero_()
        self.folds += 1
        self._remeasure()

    def _remeasure(self) -> None:
        """Sums and gram anew while W is V."""
        for kept, exact in zip((self.sums, self.gram), _products(self.blocks()), strict=True):
            kept.copy_(exact)

    def _update_moments(
        self, shrink: Shrink, every: Tensor, before: Tensor, sparse: Tensor
    ) -> None:
        """Sums and gram of W A + 1 v^T + S, from those of W."""
        sums = shrink.times(self.sums)
        # The half of what is added to gram; the other one is its transpose.
        half = torch.outer(sums + self.num_classes / 2 * every, every)
        half.addmm_((before + sparse / 2).T, sparse)
        self.gram.copy_(shrink.around(self.gram) + half + half.T)
        self.sums.copy_(sums + self.num_classes * every + sparse.sum(dim=0))

    def as_linear(self) -> nn.Linear:
        """The ordinary layer with these weights."""
        width = self.rows.shape[1] - self.has_bias
        layer = nn.Linear(width, self.num_classes, self.has_bias, self.rows.device, self.dtype)
        with torch.no_grad():
            parts = torch.split(layer.weight, BLOCK)
            for block, weight in zip(self.blocks(), parts, strict=True):
                weight.copy_(self.written(block)[:, :width])
            if self.has_bias:
                layer.bias.copy_(self.rows @ self.factor[:, width] + self.shift[width])
        return layer


def _products(blocks: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """``M^T 1`` and ``M^T M`` of a matrix given in blocks of rows."""
    total = gram = torch.zeros(())
    for block in blocks:
        total = total + block.sum(dim=0)
        gram = gram + block.T @ block
    return total, gram
