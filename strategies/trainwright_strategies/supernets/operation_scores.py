"""What the gradients of a supernet's operations say about how often to draw them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from trainwright.strategy import Gradients
from trainwright_strategies.importance import smoothed
from trainwright_strategies.supernets.protocol import Supernet
from trainwright_strategies.supernets.space import Path

Names = list[list[list[list[str]]]]
"""Of weights, by edge, operation and cell."""


def halved(scores: Tensor, new: Tensor) -> Tensor:
    """The scores with the new ones taken in: ``(v + n) / 2`` wherever n is a number above 0."""
    return torch.where((new > 0) & torch.isfinite(new), (scores + new) / 2, scores)


class OperationScores:
    """Gradient norms of operations over an epoch, and the probabilities that they give.

    Attributes:
        scores: of the present epoch, float32 of shape (rows, O); one row for all edges, or one
            for each.
        probabilities: of the operations, float64 on the CPU, of the same shape.

    Args:
        supernet: whose operations are meant.
        per_edge: a row for each edge.
        device: where the gradients are.
    """

    def __init__(self, supernet: Supernet, per_edge: bool, device: torch.device) -> None:
        self._supernet = supernet
        self._per_edge = per_edge
        rows = supernet.space.edges if per_edge else 1
        self.scores = torch.zeros(rows, len(supernet.space.operations), device=device)
        self.reset()
        self._names: Names = []

    def reset(self) -> None:
        """Know nothing again: uniform probabilities."""
        self.scores = torch.zeros_like(self.scores)
        size = self.scores.shape[1]
        self.probabilities = torch.full(self.scores.shape, 1 / size, dtype=torch.float64)

    def norms(self, model: nn.Module, gradients: Gradients, path: Path) -> Tensor:
        """The mean gradient norm of each operation over its places on a path.

        The norm of a place is the sum of those of its weights.

        Args:
            model: in training; holds the supernet.
            gradients: the global ones (a collective where they are sharded).
            path: of the update.

        Returns:
            Of the shape of ``scores``; 0 for operations that are not on the path or have no
            weights.
        """
        if not self._names:
            self._names = self._names_in(model)
        names: list[str] = []
        slots: list[int] = []
        places = [0] * self.scores.numel()
        for edge, operation in enumerate(path):
            slot = operation + (edge * self.scores.shape[1] if self._per_edge else 0)
            for weights in self._names[edge][operation]:
                names += weights
                slots += [slot] * len(weights)
                places[slot] += 1
        total = torch.zeros_like(self.scores).flatten()
        if names:
            index = torch.tensor(slots, device=total.device)
            total.index_add_(0, index, gradients.norms(names))
        count = torch.tensor(places, device=total.device).clamp(min=1)
        return (total / count).view_as(self.scores)

    def fold(self, new: Tensor) -> None:
        """Take in the norms of an update, as the clipped gradient has them."""
        self.scores = halved(self.scores, new)

    def end_epoch(self, tau: float) -> None:
        """Make probabilities of the scores, and begin with new ones."""
        scores = self.scores.cpu()
        # Where no operation with weights was drawn there is nothing to go by.
        known = scores.sum(dim=1) > 0
        if known.any():
            self.probabilities = self.probabilities.clone()
            self.probabilities[known] = smoothed(scores[known], tau)
        self.scores = torch.zeros_like(self.scores)

    def state_dict(self) -> dict[str, Any]:
        """Scores and probabilities."""
        return {"scores": self.scores, "probabilities": self.probabilities}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back ``state_dict``."""
        self.scores = state["scores"].to(self.scores.device)
        self.probabilities = state["probabilities"].cpu()

    def _names_in(self, model: nn.Module) -> Names:
        """Names of the weights by edge, operation and cell."""
        named = {id(parameter): name for name, parameter in model.named_parameters()}
        space = self._supernet.space
        found: Names = [[[] for _ in space.operations] for _ in range(space.edges)]
        for operation in range(len(space.operations)):
            for place in self._supernet.places(operation):
                trained = [named[id(p)] for p in place.parameters if p.requires_grad]
                if trained:
                    found[place.edge][operation].append(trained)
        return found


def weighted_operations(supernet: Supernet) -> Sequence[str]:
    """Names of the operations that have weights somewhere."""
    names = supernet.space.operations
    return [name for index, name in enumerate(names) if supernet.places(index)]
