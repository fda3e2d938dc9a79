"""A linear output layer that is never multiplied out: spherical losses at any number of classes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional


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
    """

    def __init__(self, layer: nn.Linear, max_condition: float = 1e6) -> None:
        super().__init__()
        self.max_condition = max_condition
        self._given: Tensor | None = None
        self.dtype = layer.weight.dtype
        self.has_bias = layer.bias is not None
        rows = layer.weight.detach().clone()
        if layer.bias is not None:
            rows = torch.cat([rows, layer.bias.detach()[:, None]], dim=1)
        width = rows.shape[1]
        self.register_buffer("rows", rows.double())
        self.register_buffer("factor", torch.eye(width, dtype=torch.float64))
        self.register_buffer("shift", torch.zeros(width, dtype=torch.float64))
        self.register_buffer("sums", torch.zeros(width, dtype=torch.float64))
        self.register_buffer("gram", torch.zeros(width, width, dtype=torch.float64))
        self.register_buffer("folds", torch.zeros(1))
        self.rows: Tensor
        self.factor: Tensor
        self.shift: Tensor
        self.sums: Tensor
        self.gram: Tensor
        self.folds: Tensor
        self._measure()

    @property
    def num_classes(self) -> int:
        """D."""
        return len(self.rows)

    def weight(self, classes: Tensor | None = None) -> Tensor:
        """The rows of W of some classes, or W whole, shape (D, width): O(D d^2)."""
        rows = self.rows if classes is None else self.rows[classes]
        return rows @ self.factor + self.shift

    def _measure(self) -> None:
        self.sums.copy_(self.rows.sum(dim=0))
        self.gram.copy_(self.rows.T @ self.rows)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, d): as they are in training, otherwise the outputs (B, D)."""
        if self.training:
            self._given = features.detach()
            return features
        inputs = self.inputs(features)
        outputs = (inputs @ self.factor.T) @ self.rows.T + (inputs @ self.shift)[:, None]
        return outputs.to(self.dtype)

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
        own = self.weight(target)
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
        shrink = -2 * lr * (inputs.T * gradient.squares) @ inputs  # A - 1
        every = -lr * gradient.total @ inputs  # v
        classes, place = torch.unique(target, return_inverse=True)
        sparse = inputs.new_zeros(len(classes), inputs.shape[1])  # the rows of S
        sparse.index_add_(0, place, -lr * gradient.target[:, None] * inputs)
        before = self.weight(classes)
        before = before + before @ shrink + every  # these rows of W A + 1 v^T
        self.factor += self.factor @ shrink
        self.shift += self.shift @ shrink + every
        inverse, failed = torch.linalg.inv_ex(self.factor)
        condition = self.factor.norm() * inverse.norm() / len(inverse)
        if failed or not condition <= self.max_condition:
            self._fold(classes, sparse)
            return
        self._update_moments(shrink, every, before, sparse)
        self.rows.index_add_(0, classes, sparse @ inverse)

    def _fold(self, classes: Tensor, sparse: Tensor) -> None:
        """Multiply W out, add rows to it that cannot be divided by U, begin anew with U = 1."""
        self.rows.copy_(self.weight())
        self.rows.index_add_(0, classes, sparse)
        self.factor.copy_(torch.eye(len(self.factor)))
        self.shift.zero_()
        self.folds += 1
        self._measure()

    def _update_moments(
        self, shrink: Tensor, every: Tensor, before: Tensor, sparse: Tensor
    ) -> None:
        """Sums and gram of W A + 1 v^T + S, from those of W."""
        gram = self.gram + self.gram @ shrink
        gram = gram + shrink.T @ gram
        sums = self.sums + self.sums @ shrink
        across = torch.outer(sums, every)
        gram = gram + across + across.T + self.num_classes * torch.outer(every, every)
        mixed = before.T @ sparse
        self.gram.copy_(gram + mixed + mixed.T + sparse.T @ sparse)
        self.sums.copy_(sums + self.num_classes * every + sparse.sum(dim=0))

    def as_linear(self) -> nn.Linear:
        """The ordinary layer with these weights."""
        whole = self.weight()
        width = whole.shape[1] - self.has_bias
        layer = nn.Linear(width, len(whole), self.has_bias, whole.device, self.dtype)
        with torch.no_grad():
            layer.weight.copy_(whole[:, :width])
            if self.has_bias:
                layer.bias.copy_(whole[:, width])
        return layer
