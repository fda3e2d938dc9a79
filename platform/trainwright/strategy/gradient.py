"""A whole gradient as a vector: named tensors with the few operations that methods need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, overload

import torch
from torch import Tensor


class Gradient(Mapping[str, Tensor]):
    """A vector over the trainable parameters, float32, equal on all workers.

    It is what ``step.gradient`` gives, and what ``step.set_gradient``, ``step.perturb`` and
    ``step.hvp`` take. Parameters that a loss does not use have zeros.

    Args:
        values: public name -> whole tensor, in the shape of the parameter.

    Example:
        >>> g = Gradient({"w": torch.tensor([3.0, 4.0])})
        >>> float(g.norm()), float(g.dot(g)), (2 * g - g)["w"].tolist()
        (5.0, 25.0, [3.0, 4.0])
    """

    def __init__(self, values: Mapping[str, Tensor]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> Tensor:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def dot(self, other: Mapping[str, Tensor]) -> Tensor:
        """The inner product, summed in float64; shape ()."""
        if not self._values:
            return torch.zeros((), dtype=torch.float64)
        products = [
            (value.double() * other[name].double()).sum() for name, value in self._values.items()
        ]
        return torch.stack(products).sum()

    def norm(self) -> Tensor:
        """The L2 norm over all parameters, float64, shape ()."""
        return self.dot(self).sqrt()

    def axpy(self, alpha: float | Tensor, other: Mapping[str, Tensor]) -> Gradient:
        """``self + alpha * other``."""
        return Gradient(
            {name: value + _scalar(alpha, value) * other[name] for name, value in self.items()}
        )

    def clone(self) -> Gradient:
        """A copy that owns its tensors."""
        return Gradient({name: value.clone() for name, value in self.items()})

    def __add__(self, other: Mapping[str, Tensor]) -> Gradient:
        return self.axpy(1.0, other)

    def __sub__(self, other: Mapping[str, Tensor]) -> Gradient:
        return self.axpy(-1.0, other)

    def __mul__(self, factor: float | Tensor) -> Gradient:
        return Gradient({name: value * _scalar(factor, value) for name, value in self.items()})

    __rmul__ = __mul__

    def __truediv__(self, divisor: float | Tensor) -> Gradient:
        return Gradient({name: value / _scalar(divisor, value) for name, value in self.items()})

    def __neg__(self) -> Gradient:
        return self * -1.0

    def __repr__(self) -> str:
        numel = sum(value.numel() for value in self._values.values())
        return f"Gradient({len(self)} parameters, {numel} elements)"


@overload
def _scalar(factor: float, like: Tensor) -> float: ...
@overload
def _scalar(factor: Tensor, like: Tensor) -> Tensor: ...
def _scalar(factor: float | Tensor, like: Tensor) -> float | Tensor:
    """A float64 factor must not make the product float64."""
    return factor.to(like) if isinstance(factor, Tensor) else factor


class Gradients(Protocol):
    """The global gradient after reduction over workers and micro-batches, before clipping."""

    def names(self) -> Sequence[str]:
        """Names of the trainable parameters, as in ``named_parameters``."""
        ...

    def __getitem__(self, name: str) -> Tensor:
        """The full gradient of one parameter in float32 (a copy); zeros when it got none."""
        ...

    def __setitem__(self, name: str, value: Tensor) -> None:
        """Replace the gradient of one parameter on all workers."""
        ...

    def items(self) -> Iterator[tuple[str, Tensor]]:
        """Name and full gradient of each trainable parameter in turn."""
        ...

    def norms(self, names: Sequence[str]) -> Tensor:
        """L2 norms of the gradients of some parameters, float32 of shape (len(names),).

        The gradients stay where they are, and nothing waits for the device. All workers must name
        the same.
        """
        ...
