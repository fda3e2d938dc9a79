"""The parts of which supernets are made: edges that choose, and the model that holds the path."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property

from torch import Tensor, nn

from trainwright_strategies.supernets.protocol import Place
from trainwright_strategies.supernets.space import Path, PathSpace

Operations = Mapping[str, Callable[[], nn.Module]]
"""Name -> makes the operation."""


class Choice(nn.Module):
    """One edge: operations on the same input, of which each forward pass applies one.

    Args:
        operations: name -> makes it. One that is named ``conv`` has its weights under
            ``operations.conv``, whether or not the others are there.
        only: index of the one to make; None makes them all.
    """

    def __init__(self, operations: Operations, only: int | None = None) -> None:
        super().__init__()
        self.names = tuple(operations)
        kept = self.names if only is None else (self.names[only],)
        self.operations = nn.ModuleDict({name: operations[name]() for name in kept})

    def forward(self, x: Tensor, operation: int) -> Tensor:
        """The operation of this index applied to ``x``."""
        chosen: Tensor = self.operations[self.names[operation]](x)
        return chosen

    def weights(self, operation: int) -> list[nn.Parameter]:
        """Those of an operation; none where it has none, or was not made."""
        name = self.names[operation]
        return list(self.operations[name].parameters()) if name in self.operations else []


class PathModel(nn.Module, ABC):
    """Base of supernets made of :class:`Choice` edges: holds the path, counts weights.

    A subclass makes its parts in its constructor and says in ``cells`` which of them choose.
    A model that was made with a path is this architecture alone, with the same names for the
    parts that it keeps, and runs no other.

    Attributes:
        space: the paths.

    Args:
        space: the paths.
        path: the architecture to make; None for all of them.
        usual: index of the operation that every edge applies until a path is set.

    Raises:
        ValueError: the path is not in the space.
    """

    def __init__(self, space: PathSpace, path: Sequence[int] | None, usual: int) -> None:
        super().__init__()
        self.space = space
        self._alone = None if path is None else space.check(path)
        self._path = self._alone or (usual,) * space.edges

    @abstractmethod
    def cells(self) -> list[Sequence[Choice]]:
        """The choosing edges of each cell, in the order of the path."""

    def only(self, edge: int) -> int | None:
        """The one operation to make at an edge; None for all."""
        return None if self._alone is None else self._alone[edge]

    @property
    def path(self) -> Path:
        """The path of the next forward passes."""
        return self._path

    @path.setter
    def path(self, path: Sequence[int]) -> None:
        checked = self.space.check(path)
        self._refuse_others(checked)
        self._path = checked

    def places(self, operation: int) -> list[Place]:
        """Where an operation stands with weights, by cells and edges."""
        return [
            Place(number, edge, weights)
            for number, cell in enumerate(self.cells())
            for edge, choice in enumerate(cell)
            if (weights := choice.weights(operation))
        ]

    def parameters_of(self, path: Sequence[int]) -> int:
        """How many weights the architecture of a path has alone, shared parts included.

        They are counted once, at the first call.
        """
        checked = self.space.check(path)
        self._refuse_others(checked)
        shared, sizes = self._counted
        return shared + sum(row[operation] for row, operation in zip(sizes, checked, strict=True))

    @cached_property
    def _counted(self) -> tuple[int, list[list[int]]]:
        """Weights that every path has, and by edge and operation those of all cells."""
        operations = range(len(self.space.operations))
        edges = list(zip(*self.cells(), strict=True))
        sizes = [[sum(_size(c.weights(one)) for c in edge) for one in operations] for edge in edges]
        optional = sum(_size(choice.parameters()) for edge in edges for choice in edge)
        return _size(self.parameters()) - optional, sizes

    def _refuse_others(self, path: Path) -> None:
        if self._alone is not None and path != self._alone:
            raise ValueError(
                f"the model was made with the path {list(self._alone)} and has no other one; "
                "leave out its option path for the whole supernet"
            )


def _size(parameters: Iterable[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)
