"""The precision in which losses are computed."""

from __future__ import annotations

from torch import Tensor


def at_least_float32(values: Tensor) -> Tensor:
    """Half-precision values in float32, others in their own type: losses need the digits."""
    return values.float() if values.dtype.itemsize < 4 else values
