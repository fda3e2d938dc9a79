"""When two tensors are equal but for rounding, and where random numbers come from."""

from __future__ import annotations

import torch
from torch import Tensor

RELATIVE, ABSOLUTE = 1e-4, 1e-6
"""How far weights may differ that are equal but for the order of float32 additions."""


def close(found: Tensor, expected: Tensor, message: str) -> None:
    """Fail unless two tensors are equal but for rounding.

    Raises:
        AssertionError: they are not; ``message`` says what that means.
    """
    torch.testing.assert_close(
        found, expected, rtol=RELATIVE, atol=ABSOLUTE, msg=lambda text: f"{message}: {text}"
    )


def random(seed: int) -> torch.Generator:
    """A fresh generator of random numbers."""
    return torch.Generator().manual_seed(seed)
