"""A supernet of cells for small images, as in NAS-Bench-201."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from trainwright_strategies.supernets.choice import Choice, Operations, PathModel
from trainwright_strategies.supernets.space import Path, PathSpace

_Size = Annotated[int, Field(gt=0)]
_NODES = 4
_EDGES = tuple((source, node) for node in range(1, _NODES) for source in range(node))
"""(from, to) of the six edges, in the order of the path."""


class CellSupernet(PathModel):
    """A convolutional supernet of equal cells, each a small graph whose edges choose operations.

    The space of NAS-Bench-201: a cell has 4 nodes and 6 edges, from each node to all later ones,
    and all cells have the same path, 5^6 = 15,625 in all. Between three groups of cells a
    residual block doubles the channels and halves height and width.

    Equation:
        node_0 = the cell's input; node_j = sum over i < j of op_ij(node_i); node_3 is its output
        The path lists the edges (0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3).
        Operations: 0 ``none``, which gives zeros; 1 ``skip``; 2 ``conv1x1`` and 3 ``conv3x3``,
        each relu, convolution, batch normalisation; 4 ``avgpool3x3``

    Args:
        in_channels: colour channels; from the data when left out of a job.
        out_features: classes, or values to predict; from the data when left out of a job.
        channels: of the first group of cells; 16 in the paper.
        cells: in each of the three groups; 5 in the paper.
        track_running_stats: whether batch normalisation keeps running statistics and uses them
            in evaluation. Without them it always takes those of the batch, which is right for
            every path, but makes an output depend on the others in the batch: evaluate paths on
            the same batches. In a supernet running statistics are a mixture over paths, and need
            to be taken anew for each one.
        affine: whether batch normalisation has weights.
        path: for each edge the index of its operation: this architecture alone, its weights
            under the same names. None: the whole supernet, which runs one path at a time.

    Needs:
        Images of at least 4 x 4. A strategy that sets paths, ``uniform_path_sampling`` for
        example. Without one ``conv3x3`` is trained everywhere, and the rest stays as it was.

    Measured:
        With 16 channels, 5 cells in a group, 3 colours and 10 classes, and batch normalisation
        with weights, ``conv3x3`` everywhere has 1,531,546 weights, as in the benchmark.

    Source:
        X. Dong, Y. Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture
        Search", ICLR 2020, arXiv 2001.00326. Batch normalisation without weights and running
        statistics, the defaults, as in the supernet of S. Lu et al., "PA&DA: Jointly Sampling
        Path and Data for Consistent NAS", CVPR 2023, arXiv 2302.14772; for one architecture
        alone set both, as in the benchmark.

    Raises:
        ValueError: there is no such path.
    """

    def __init__(
        self,
        in_channels: _Size,
        out_features: _Size,
        channels: _Size = 16,
        cells: _Size = 5,
        track_running_stats: bool = False,
        affine: bool = False,
        path: Sequence[int] | None = None,
    ) -> None:
        norm = partial(nn.BatchNorm2d, track_running_stats=track_running_stats, affine=affine)
        names = tuple(operations_of(channels, norm))
        super().__init__(PathSpace(names, len(_EDGES)), path, names.index("conv3x3"))
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, channels, 3, padding=1, bias=False), norm(channels)
        )
        parts: list[nn.Module] = []
        for group in range(3):
            size = channels * 2**group
            if group:
                parts.append(Reduction(size // 2, size, norm))
            parts += [Cell(operations_of(size, norm), self) for _ in range(cells)]
        self.parts = nn.ModuleList(parts)
        self.norm = norm(size)
        self.head = nn.Linear(size, out_features)

    def cells(self) -> list[Sequence[Choice]]:
        """The six edges of each cell."""
        return [part.choices() for part in self.parts if isinstance(part, Cell)]

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Outputs of the path's architecture for images ``x`` of shape (B, C, H, W).

        Returns:
            ``logits`` (B, out_features) and ``embedding`` (B, 4 * channels), the spatial mean.
        """
        h = self.stem(x)
        for part in self.parts:
            h = part(h, self.path) if isinstance(part, Cell) else part(h)
        embedding = functional.relu(self.norm(h)).mean(dim=(2, 3))
        return {"logits": self.head(embedding), "embedding": embedding}


Norm = partial[nn.BatchNorm2d]
"""Makes the batch normalisation for a number of channels."""


class Cell(nn.Module):
    """Nodes, each the sum of the edges from all nodes before it.

    Args:
        operations: to choose from at each edge.
        owner: says which of them to make.
    """

    def __init__(self, operations: Operations, owner: PathModel) -> None:
        super().__init__()
        self.edges = nn.ModuleList(
            Choice(operations, owner.only(edge)) for edge in range(len(_EDGES))
        )

    def choices(self) -> list[Choice]:
        """The edges, in the order of the path."""
        return [edge for edge in self.edges if isinstance(edge, Choice)]

    def forward(self, x: Tensor, path: Path) -> Tensor:
        """The last node, of the shape of ``x``, (B, channels, H, W)."""
        nodes = [x]
        for (source, node), edge, operation in zip(_EDGES, self.edges, path, strict=True):
            value = edge(nodes[source], operation)
            if node == len(nodes):
                nodes.append(value)
            else:
                nodes[node] = nodes[node] + value
        return nodes[-1]


class Zeros(nn.Module):
    """The operation ``none``."""

    def forward(self, x: Tensor) -> Tensor:
        """Zeros of the shape of ``x``."""
        return torch.zeros_like(x)


class Reduction(nn.Module):
    """A residual block that halves height and width, as in NAS-Bench-201.

    Args:
        in_channels: of its input.
        channels: of its output.
        norm: makes batch normalisation.
    """

    def __init__(self, in_channels: int, channels: int, norm: Norm) -> None:
        super().__init__()
        self.first = convolution(in_channels, channels, 3, norm, stride=2)
        self.second = convolution(channels, channels, 3, norm)
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(2, 2), nn.Conv2d(in_channels, channels, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, channels, H / 2, W / 2)."""
        halved: Tensor = self.shortcut(x) + self.second(self.first(x))
        return halved


def convolution(
    in_channels: int, channels: int, size: int, norm: Norm, stride: int = 1
) -> nn.Module:
    """Relu, convolution, batch normalisation."""
    convolve = nn.Conv2d(in_channels, channels, size, stride, padding=(size - 1) // 2, bias=False)
    return nn.Sequential(nn.ReLU(), convolve, norm(channels))


def operations_of(channels: int, norm: Norm) -> Operations:
    """The operations of NAS-Bench-201 on so many channels."""
    return {
        "none": Zeros,
        "skip": nn.Identity,
        "conv1x1": partial(convolution, channels, channels, 1, norm),
        "conv3x3": partial(convolution, channels, channels, 3, norm),
        "avgpool3x3": partial(nn.AvgPool2d, 3, stride=1, padding=1, count_include_pad=False),
    }
