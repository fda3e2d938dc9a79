"""Where each named tensor lies in the one flat vector that a federation sends around."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Span:
    """A named tensor inside a flat vector.

    Attributes:
        name: public name, for example ``model.fc.weight``.
        shape: of the tensor.
        start: index of its first element in the vector.
    """

    name: str
    shape: tuple[int, ...]
    start: int

    @property
    def stop(self) -> int:
        """Index after its last element."""
        return self.start + math.prod(self.shape)

    def of(self, vector: Tensor) -> Tensor:
        """The tensor, as a view of ``vector`` (..., d): shape (..., *shape)."""
        part = vector[..., self.start : self.stop]
        return part.view((*part.shape[:-1], *self.shape))


@dataclass(frozen=True)
class Layout:
    """Named tensors one after another in a flat vector of ``size`` elements.

    Attributes:
        spans: in the order in which they lie there.
    """

    spans: tuple[Span, ...]

    @classmethod
    def of(cls, named: Iterable[tuple[str, Tensor]]) -> Layout:
        """The layout of some tensors, in their order."""
        spans: list[Span] = []
        start = 0
        for name, tensor in named:
            spans.append(Span(name, tuple(tensor.shape), start))
            start = spans[-1].stop
        return cls(tuple(spans))

    @cached_property
    def size(self) -> int:
        """Elements of the vector, d."""
        return self.spans[-1].stop if self.spans else 0

    def __iter__(self) -> Iterator[Span]:
        return iter(self.spans)

    def __len__(self) -> int:
        return len(self.spans)

    def views(self, vector: Tensor) -> dict[str, Tensor]:
        """All tensors by name, as views of a vector of shape (..., d)."""
        return {span.name: span.of(vector) for span in self.spans}

    def vector(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """A fresh vector, float32 of shape (d,), that holds a copy of all tensors.

        Raises:
            KeyError: one of them is missing.
            ValueError: one has another shape.
        """
        flat = torch.empty(self.size, dtype=torch.float32)
        for span in self.spans:
            tensor = tensors[span.name]
            if tuple(tensor.shape) != span.shape:
                raise ValueError(
                    f"{span.name} has the shape {list(span.shape)}, got {list(tensor.shape)}"
                )
            flat[span.start : span.stop] = tensor.detach().reshape(-1)
        return flat
