"""Whether our layer computes what the ordinary one does, and for how long it stays exact."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from classes.batches import batches
from classes.sides import spherical
from trainwright_objectives.z_loss import ZLoss
from trainwright_strategies.layers.spherical_head import SphericalHead

TOLERANCES = {"float64": 1e-8, "float32": 1e-4}
"""What errors may be, by the precision of the ordinary layer."""

WIDTH, BATCH, STEPS = 256, 128, 150
RATE = 100.0
MAX_CONDITION = 1.01
"""So low that the layer is multiplied out in some of the updates."""


@dataclass(frozen=True)
class Agreement:
    """Our layer against all outputs multiplied out, over some steps of SGD.

    Attributes:
        precision: of features and of the ordinary layer.
        steps: of SGD.
        folds: how often ours was multiplied out in between.
        gradient_error: the largest error of dL/dh in any step, relative to its norm.
        weight_error: of W and bias after the last step, relative to how far they had moved.
        tolerance: what neither may exceed.
    """

    precision: str
    steps: int
    folds: int
    gradient_error: float
    weight_error: float
    tolerance: float


@dataclass(frozen=True)
class Drift:
    """What our layer keeps of its weights, against what is computed anew from them.

    Attributes:
        steps: of SGD up to here.
        sums_error: of W^T 1, relative to its norm.
        gram_error: of W^T W, likewise.
        folds: how often W had been multiplied out, which computes both anew.
    """

    steps: int
    sums_error: float
    gram_error: float
    folds: int


def agreements(num_classes: int) -> list[Agreement]:
    """Against the ordinary layer in both precisions."""
    return [agreement(precision, STEPS, num_classes, WIDTH) for precision in TOLERANCES]


def agreement(precision: str, steps: int, num_classes: int, width: int) -> Agreement:
    """Train both layers on the same batches.

    Raises:
        AssertionError: they differ by more than the tolerance, or ours was never multiplied out.
    """
    torch.manual_seed(0)
    dtype: torch.dtype = getattr(torch, precision)
    layer = nn.Linear(width, num_classes, dtype=dtype)
    began = copy.deepcopy(layer)
    head = SphericalHead(layer, MAX_CONDITION)
    ours, loss = spherical(head, RATE), ZLoss(eps=1e-12)
    optimizer = torch.optim.SGD(layer.parameters(), lr=RATE)
    errors = []
    for features, target in batches(steps, BATCH, width, num_classes):
        wanted, found = (features.to(dtype, copy=True).requires_grad_() for _ in range(2))
        loss(layer(wanted), target).backward()
        optimizer.step()
        optimizer.zero_grad()
        ours(found, target)
        assert wanted.grad is not None
        assert found.grad is not None
        errors.append(_error(found.grad, wanted.grad))
    ends = [_whole(one) for one in (head.as_linear(), layer)]
    moved = (ends[1] - _whole(began)).norm()
    off = float((ends[0] - ends[1]).norm() / moved)
    tolerance = TOLERANCES[precision]
    worst = float(torch.tensor(errors).max())
    for error in (worst, off):
        assert error <= tolerance, f"in {precision} the layers differ by {error:.1e}"
    assert head.folds > 0, "the layer was never multiplied out"
    return Agreement(precision, steps, int(head.folds), worst, off, tolerance)


def drift(marks: Sequence[int], num_classes: int, width: int) -> list[Drift]:
    """Train our layer, and look at what it keeps after some numbers of steps."""
    torch.manual_seed(0)
    head = SphericalHead(nn.Linear(width, num_classes))
    step = spherical(head)
    pool = batches(64, BATCH, width, num_classes)
    found = []
    for index in range(max(marks)):
        features, target = pool[index % len(pool)]
        step(features.clone().requires_grad_(), target)
        if index + 1 in marks:
            sums, gram = head.products()
            errors = _error(head.sums, sums), _error(head.gram, gram)
            found.append(Drift(index + 1, *errors, int(head.folds)))
    return found


def _error(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


def _whole(layer: nn.Linear) -> Tensor:
    return torch.cat([layer.weight, layer.bias[:, None]], dim=1).detach().double()
