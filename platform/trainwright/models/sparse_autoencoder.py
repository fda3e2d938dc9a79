"""Sparse autoencoder: many features, few of which describe a sample."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

_Size = Annotated[int, Field(gt=0)]


class UnitDecoder(nn.Module):
    """Adds up features, each along a direction of length 1.

    The length is divided out in the forward pass, so that no update can change it and the
    gradient has no part along a direction.

    Args:
        num_features: number of directions.
        out_features: length of what they add up to.
    """

    def __init__(self, num_features: int, out_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_features, out_features))
        nn.init.normal_(self.weight, std=out_features**-0.5)

    def forward(self, codes: Tensor) -> Tensor:
        """Codes (B, num_features) -> their sum of directions (B, out_features)."""
        directions = nn.functional.normalize(self.weight, dim=1)
        return codes @ directions.to(codes.dtype)


class SparseAutoencoder(nn.Module):
    """Describes each sample as a sum of few out of many directions: a sparse autoencoder.

    How well each feature fits a sample is a linear function of it, cut off at 0; ``selection``,
    here the identity, is where strategies choose the features that count.
    """

    def __init__(self, in_features: _Size, num_features: _Size = 512) -> None:
        """Build the layers; weights come from torch's global generator.

        The encoder begins as the transpose of the decoder, the centre at zero: standardise inputs
        that lie far from it.

        Args:
            in_features: numbers of one sample; from the data when left out of a job.
            num_features: directions to choose from, as a rule many more than ``in_features``.
        """
        super().__init__()
        self.centre = nn.Parameter(torch.zeros(in_features))
        self.encoder = nn.Linear(in_features, num_features)
        self.decoder = UnitDecoder(num_features, in_features)
        self.selection: nn.Module = nn.Identity()
        with torch.no_grad():
            self.encoder.weight.copy_(nn.functional.normalize(self.decoder.weight, dim=1))
            self.encoder.bias.zero_()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Outputs for ``x`` of shape (B, *any).

        Returns:
            ``reconstruction`` and ``inputs`` (B, in_features); ``codes`` and ``affinities``
            (B, num_features), the features that count and all of them, at least 0.
        """
        inputs = x.flatten(1)
        affinities = self.encoder(inputs - self.centre).relu()
        codes = self.selection(affinities)
        reconstruction = self.decoder(codes) + self.centre
        return {
            "reconstruction": reconstruction,
            "inputs": inputs,
            "codes": codes,
            "affinities": affinities,
        }
