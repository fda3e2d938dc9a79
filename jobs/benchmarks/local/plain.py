"""The models of the benchmark in plain PyTorch, with the names and shapes of ours.

Nothing here imports Trainwright.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional


class MLP(nn.Module):
    """Two hidden layers of 512."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU())
        self.head = nn.Linear(512, 10)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 64) to logits (B, 10)."""
        logits: Tensor = self.head(self.body(x))
        return logits


class ConvNet(nn.Module):
    """Three convolutions with batch norm, spatial mean, linear head."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs, stride in ((3, 16, 1), (16, 32, 2), (32, 32, 2)):
            layers.append(nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False))
            layers += [nn.BatchNorm2d(outputs), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, 32, 32) to logits (B, 10)."""
        logits: Tensor = self.head(self.features(x).mean(dim=(2, 3)))
        return logits


class Block(nn.Module):
    """Causal self-attention and a perceptron, each added to its input."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.project = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.expand = nn.Linear(dim, 4 * dim)
        self.contract = nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, dim) to the same shape."""
        batch, length, dim = x.shape
        qkv = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.project(mixed.transpose(1, 2).reshape(batch, length, dim))
        result: Tensor = x + self.contract(functional.gelu(self.expand(self.norm2(x))))
        return result


class GPT(nn.Module):
    """Decoder-only transformer of three blocks, embedding and head tied."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(256, 96)
        self.positions = nn.Embedding(64, 96)
        self.blocks = nn.ModuleList(Block(96, 4) for _ in range(3))
        self.norm = nn.LayerNorm(96)
        self.head = nn.Linear(96, 256, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T) to logits (B, T, 256)."""
        x = self.tokens(tokens) + self.positions(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(self.norm(x))
        return logits


MODELS: dict[str, Callable[[], nn.Module]] = {"mlp": MLP, "convnet": ConvNet, "gpt": GPT}
