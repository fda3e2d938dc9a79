"""A supernet of residual bottlenecks: each edge chooses a width, or skips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from trainwright_strategies.supernets.choice import Choice, PathModel
from trainwright_strategies.supernets.space import PathSpace

_Size = Annotated[int, Field(gt=0)]


class ResidualSupernet(PathModel):
    """A supernet of residual bottlenecks on vectors; each edge chooses a width, or skips.

    Small enough that all its architectures can be trained alone, which gives the true ranking.
    Images are flattened.

    Equation:
        h <- relu(W x); then for each edge e: h <- normalized(op_e(h)); logits = V h
        op_e is ``skip``: h, or ``width_w``: h + W2 relu(W1 h + b1) + b2 with w hidden units;
        normalized: layer normalisation without weights

    Args:
        in_features: numbers of one sample; from the data when left out of a job.
        out_features: classes, or values to predict; from the data when left out of a job.
        width: of the vectors between edges.
        edges: number of choices.
        widths: of the bottlenecks to choose from, different ones. Operation 0 is ``skip``,
            operation 1 the first of them.
        path: for each edge the index of its operation: this architecture alone, its weights
            under the same names. None: the whole supernet, which runs one path at a time.

    Needs:
        A strategy that sets paths, ``uniform_path_sampling`` for example. Without one the
        widest bottlenecks are trained, and the rest stays as it was.

    Measured:
        With the default options 64 architectures of 610 to 1,450 weights on the digits.

    Source:
        A space of this repository, after Z. Guo et al., "Single Path One-Shot Neural
        Architecture Search with Uniform Sampling", 2020, arXiv 1904.00420.

    Raises:
        ValueError: widths are there twice, or there is no such path.
    """

    def __init__(
        self,
        in_features: _Size,
        out_features: _Size,
        width: _Size = 8,
        edges: _Size = 3,
        widths: Sequence[_Size] = (1, 4, 16),
        path: Sequence[int] | None = None,
    ) -> None:
        operations: dict[str, Callable[[], nn.Module]] = {"skip": nn.Identity}
        for size in widths:
            operations[f"width_{size}"] = partial(Bottleneck, width, size)
        if len(operations) < 1 + len(widths):
            raise ValueError(f"widths must be different, got {list(widths)}")
        widest = 1 + widths.index(max(widths)) if widths else 0
        super().__init__(PathSpace(tuple(operations), edges), path, widest)
        self.stem = nn.Linear(in_features, width)
        self.edges = nn.ModuleList(Choice(operations, self.only(e)) for e in range(edges))
        self.head = nn.Linear(width, out_features)

    def cells(self) -> list[Sequence[Choice]]:
        """One cell with all edges."""
        return [[edge for edge in self.edges if isinstance(edge, Choice)]]

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Outputs of the path's architecture for ``x`` of shape (B, *any).

        Returns:
            ``logits`` (B, out_features) and ``embedding`` (B, width), the head's input.
        """
        h = functional.relu(self.stem(x.flatten(1)))
        for edge, operation in zip(self.edges, self.path, strict=True):
            h = functional.layer_norm(edge(h, operation), h.shape[1:])
        return {"logits": self.head(h), "embedding": h}


class Bottleneck(nn.Module):
    """A hidden layer of its own width, added to its input.

    Args:
        width: of the input.
        hidden: of the layer.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.down = nn.Linear(width, hidden)
        self.up = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as ``x``, (B, width)."""
        change: Tensor = self.up(functional.relu(self.down(x)))
        return x + change
