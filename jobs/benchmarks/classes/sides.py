"""Output layer and loss of each side: one step forward, backward, and of plain SGD."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainwright_objectives.z_loss import ZLoss
from trainwright_strategies.layers.spherical_head import SphericalHead, Statistics

RATE = 0.1

Step: TypeAlias = Callable[[Tensor, Tensor], None]
"""Takes features, whose gradient it leaves there, and targets."""

FIRST_CUT = 200
"""The classes in the head of the adaptive softmax; each tail has ten times as many."""


def descending(layer: nn.Module, loss_of: Step | Callable[[Tensor, Tensor], Tensor]) -> Step:
    """A step of SGD on what a module holds.

    Args:
        layer: its parameters move.
        loss_of: the loss from features and targets.
    """
    optimizer = torch.optim.SGD(layer.parameters(), lr=RATE)

    def step(features: Tensor, target: Tensor) -> None:
        loss = loss_of(features, target)
        assert loss is not None
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def log_softmax(layer: nn.Linear) -> Step:
    """Cross-entropy of all outputs."""
    return descending(layer, lambda x, target: functional.cross_entropy(layer(x), target))


def full_z_loss(layer: nn.Linear) -> Step:
    """The Z-loss of all outputs."""
    loss = ZLoss()
    return descending(layer, lambda x, target: loss(layer(x), target))


def cutoffs(num_classes: int) -> list[int]:
    """Where the adaptive softmax cuts: 200, 2,000, ... below half of the classes."""
    cuts, cut = [], FIRST_CUT
    while 2 * cut < num_classes:
        cuts.append(cut)
        cut *= 10
    return cuts


def adaptive(width: int, num_classes: int) -> Step:
    """torch's adaptive softmax; classes come in the order of their frequency."""
    layer = nn.AdaptiveLogSoftmaxWithLoss(width, num_classes, cutoffs(num_classes), div_value=4.0)
    return descending(layer, lambda x, target: layer(x, target).loss)


class Hierarchical(nn.Module):
    """A softmax over the clusters, and one over the classes of the target's cluster.

    About as many clusters as each has classes. The leaves of each cluster are a parameter of
    their own, so that no gradient exists for clusters that the batch does not have. Samples of
    one cluster are multiplied at once.
    """

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.size = math.ceil(num_classes**0.5)
        full, rest = divmod(num_classes, self.size)
        sizes = [self.size] * full + [rest] * (rest > 0)
        self.top = nn.Linear(width, len(sizes))
        self.leaves = nn.ParameterList(
            nn.Parameter(torch.empty(size, width).uniform_(-(width**-0.5), width**-0.5))
            for size in sizes
        )

    def forward(self, features: Tensor, target: Tensor) -> Tensor:
        """The mean of -log p(cluster) - log p(class in it)."""
        cluster, member = target // self.size, target % self.size
        loss = functional.cross_entropy(self.top(features), cluster, reduction="sum")
        order = torch.argsort(cluster)
        present, counts = torch.unique_consecutive(cluster[order], return_counts=True)
        samples = features[order].split(counts.tolist())
        members = member[order].split(counts.tolist())
        for index, some, own in zip(present.tolist(), samples, members, strict=True):
            outputs = functional.linear(some, self.leaves[index])
            loss = loss + functional.cross_entropy(outputs, own, reduction="sum")
        return loss / len(target)


def hierarchical(width: int, num_classes: int) -> Step:
    """The two-level softmax."""
    layer = Hierarchical(width, num_classes)
    return descending(layer, layer)


def spherical(head: SphericalHead, lr: float = RATE) -> Step:
    """Ours: the layer of ``spherical_output``, with the Z-loss."""
    loss = ZLoss()

    def step(features: Tensor, target: Tensor) -> None:
        inputs = head.inputs(features)
        statistics = torch.stack(head.statistics(inputs, target))
        statistics.retain_grad()
        loss.of_statistics(*statistics, head.num_classes).mean().backward()
        assert statistics.grad is not None
        head.descend(inputs.detach(), target, Statistics(*statistics.grad), lr)

    return step


def touching(head: SphericalHead) -> Step:
    """Only reads the rows of a batch's targets in the memory of our layer, and adds 0 to them."""

    def step(features: Tensor, target: Tensor) -> None:
        classes = torch.unique(target)
        head.rows.index_add_(0, classes, torch.zeros_like(head.rows[classes]))

    return step
