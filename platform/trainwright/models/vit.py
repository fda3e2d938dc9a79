"""Small vision transformer."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

_Size = Annotated[int, Field(gt=0)]
_Dropout = Annotated[float, Field(ge=0, lt=1)]


class ViT(nn.Module):
    """Transformer on image patches with a class token and learned positions.

    The norm stands before attention and before the two-layer perceptron; GELU.

    Source:
        A. Dosovitskiy and others, "An Image is Worth 16x16 Words", ICLR 2021, arXiv 2010.11929,
        section 3.1.
    """

    def __init__(
        self,
        in_channels: _Size,
        image_size: _Size | tuple[_Size, _Size],
        out_features: _Size,
        patch: _Size = 4,
        dim: _Size = 64,
        depth: _Size = 4,
        heads: _Size = 4,
        mlp_ratio: Annotated[float, Field(gt=0)] = 2.0,
        dropout: _Dropout = 0.0,
    ) -> None:
        """Build the layers; weights come from torch's global generator.

        Args:
            in_channels: colour channels; from the data when left out of a job.
            image_size: pixels, (height, width) if not square; from the data when left out.
            out_features: classes, or values to predict; from the data when left out of a job.
            patch: side of a patch in pixels; divides height and width.
            dim: length of a token.
            depth: number of blocks.
            heads: attention heads; divides ``dim``.
            mlp_ratio: width of a block's perceptron relative to ``dim``.
            dropout: probability after attention and perceptron.

        Raises:
            ValueError: patches do not fit the image, or heads do not divide ``dim``.
        """
        super().__init__()
        if dim % heads:
            raise ValueError(f"heads must divide dim, got {heads} heads for dim {dim}")
        self.patches = nn.Conv2d(in_channels, dim, patch, stride=patch)
        self.token = nn.Parameter(torch.zeros(1, 1, dim))
        self.positions = nn.Parameter(
            0.02 * torch.randn(1, 1 + _num_patches(image_size, patch), dim)
        )
        hidden = round(dim * mlp_ratio)
        self.blocks = nn.Sequential(*(Block(dim, heads, hidden, dropout) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, out_features)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Outputs for images ``x`` of shape (B, C, H, W), of the size the model was built for.

        Returns:
            ``logits`` (B, out_features) and ``embedding`` (B, dim), the class token's.
        """
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(x), -1, -1), tokens], dim=1) + self.positions
        embedding = self.norm(self.blocks(tokens)[:, 0])
        return {"logits": self.head(embedding), "embedding": embedding}


class Block(nn.Module):
    """Self-attention and a perceptron, each added to its input."""

    def __init__(self, dim: int, heads: int, hidden: int, dropout: float) -> None:
        """Build the block for tokens of length ``dim``."""
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.project = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))
        self.dropout = nn.Dropout(dropout)

    @property
    def queries(self) -> tuple[nn.Linear, int, int]:
        """The layer whose first outputs are queries, their number, and the size of a head."""
        dim = self.qkv.in_features
        return self.qkv, dim, dim // self.heads

    def forward(self, x: Tensor) -> Tensor:
        """(B, tokens, dim) to the same shape."""
        x = x + self.dropout(self.attention(self.norm1(x)))
        perceptron: Tensor = self.dropout(self.mlp(self.norm2(x)))
        return x + perceptron

    def attention(self, x: Tensor) -> Tensor:
        """Multi-head self-attention, (B, tokens, dim) to the same shape.

        Written out, because not all of torch's fused kernels have the second derivative that
        methods with gradient penalties or Hessian products need.
        """
        batch, tokens, dim = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        scores = (q @ k.transpose(-2, -1)) * (dim // self.heads) ** -0.5
        mixed = scores.softmax(dim=-1) @ v
        projected: Tensor = self.project(mixed.transpose(1, 2).reshape(batch, tokens, dim))
        return projected


def _num_patches(image_size: int | tuple[int, int], patch: int) -> int:
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    if height % patch or width % patch:
        raise ValueError(
            f"patches of {patch} x {patch} pixels do not fill an image of {height} x {width}; "
            f"patch must divide both"
        )
    return (height // patch) * (width // patch)
