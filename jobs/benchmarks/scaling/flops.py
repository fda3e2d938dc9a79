"""Floating-point operations of the small GPT, and what devices can do of them in a second."""

from __future__ import annotations

from dataclasses import dataclass

PEAKS = {
    "NVIDIA A100": 312e12,
    "NVIDIA H100 PCIe": 756e12,
    "NVIDIA H100": 989e12,
    "NVIDIA H200": 989e12,
    "NVIDIA L40S": 362e12,
    "NVIDIA L4": 121e12,
    "NVIDIA A10": 125e12,
}
"""Beginning of a device's name -> operations in a second in bf16, dense, as NVIDIA's data sheets
have them (those of Hopper and Ada without the factor 2 of sparsity)."""


@dataclass(frozen=True)
class Shape:
    """A decoder-only transformer and what it is trained on.

    Attributes:
        dim: length of a token's vector.
        depth: blocks.
        heads: of attention.
        length: tokens of a sequence.
        vocabulary: different tokens.
        samples: sequences of an update.
    """

    dim: int
    depth: int
    heads: int
    length: int
    vocabulary: int
    samples: int

    @property
    def parameters(self) -> int:
        """Weights that take part in products, and their biases: all but those of the positions.

        The embedding counts as the head, with which it shares its weights.
        """
        block = 12 * self.dim**2 + 13 * self.dim
        return self.depth * block + 2 * self.dim + self.vocabulary * self.dim

    @property
    def tokens(self) -> int:
        """Of an update."""
        return self.samples * self.length

    @property
    def flops(self) -> float:
        """Of an update: forward and backward."""
        return self.tokens * flops_per_token(self.parameters, self.depth, self.dim, self.length)


def flops_per_token(parameters: float, layers: int, dim: int, length: int) -> float:
    """Of forward and backward: 6 for each weight, and attention.

    Attention over whole sequences: 12 * layers * dim * length, the causal mask not deducted
    (Chowdhery et al. 2022, appendix B).
    """
    return 6.0 * parameters + 12.0 * layers * dim * length


def peak_of(device: str) -> float | None:
    """Operations in a second that a device of this name can do; None where that is not known."""
    found = [name for name in PEAKS if device.startswith(name)]
    return PEAKS[max(found, key=len)] if found else None


def utilisation(shape: Shape, seconds: float, peak: float) -> float:
    """Share of a device's peak that an update of so many seconds has."""
    return shape.flops / seconds / peak
