"""What makes a module a supernet, and how one is found in a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol, runtime_checkable

from torch import nn

from trainwright_strategies.supernets.space import Path, PathSpace


class Place(NamedTuple):
    """Where an operation with weights stands.

    Attributes:
        cell: of several that share the path, from 0.
        edge: its place in the path, from 0.
        parameters: its weights.
    """

    cell: int
    edge: int
    parameters: list[nn.Parameter]


@runtime_checkable
class Supernet(Protocol):
    """A torch module whose forward pass runs one of many architectures, that of its path.

    Any module with these four is one; it need not know this class. ``forward`` takes the usual
    inputs. With several workers the path must be the same on all of them in each update.

    Attributes:
        space: the paths that there are.
        path: that of the next forward passes; assigning one that is not in the space is a
            ``ValueError``.
    """

    space: PathSpace
    path: Path

    def places(self, operation: int) -> list[Place]:
        """Where an operation stands with weights, by cells and edges; none if it has none."""
        ...

    def parameters_of(self, path: Sequence[int]) -> int:
        """How many weights the architecture of a path has alone, shared parts included."""
        ...


@contextmanager
def on_path(supernet: Supernet, path: Path) -> Iterator[None]:
    """Inside, the supernet runs ``path``; afterwards the one that it ran before."""
    usual, supernet.path = supernet.path, path
    try:
        yield
    finally:
        supernet.path = usual


def find_supernet(module: nn.Module) -> Supernet:
    """The supernet that a model is or holds, however it is wrapped.

    Raises:
        ValueError: there is none, or more than one.
    """
    found = [part for part in module.modules() if isinstance(part, Supernet)]
    if not found:
        raise ValueError(
            "the model is no supernet: it has no space of paths. Take cell_supernet or "
            "residual_supernet, or a module with space, path, places and parameters_of"
        )
    if len(found) > 1:
        kinds = ", ".join(type(part).__name__ for part in found)
        raise ValueError(f"the model holds {len(found)} supernets ({kinds}) and there is one path")
    return found[0]
