"""Small decoder-only transformer for token sequences."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint

_Size = Annotated[int, Field(gt=0)]
_STD = 0.02


class GPT(nn.Module):
    """Decoder-only transformer: each position sees itself and the past, and predicts what follows.

    Learned positions, norm before attention and perceptron, exact GELU, a last norm, a linear
    head without bias. With ``dim: 768, depth: 12, heads: 12``, 50,257 tokens and sequences of
    1,024 it has the paper's 124 million weights.

    Source:
        A. Radford and others, "Language Models are Unsupervised Multitask Learners", 2019.
    """

    def __init__(
        self,
        vocabulary_size: _Size,
        sequence_length: _Size,
        dim: _Size = 128,
        depth: _Size = 4,
        heads: _Size = 4,
        mlp_ratio: Annotated[float, Field(gt=0)] = 4.0,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        tie_embeddings: bool = True,
        attention: Literal["fused", "math"] = "fused",
        checkpoint_activations: bool = False,
    ) -> None:
        """Build the layers; weights come from torch's global generator.

        Args:
            vocabulary_size: number of different tokens; from the data when left out of a job.
            sequence_length: longest sequence; from the data when left out of a job.
            dim: length of a token's vector.
            depth: number of blocks.
            heads: attention heads; divides ``dim``.
            mlp_ratio: width of a block's perceptron relative to ``dim``.
            dropout: probability after embedding, attention weights, attention and perceptron.
            tie_embeddings: one matrix for both the embedding and the head.
            attention: fused takes torch's fastest kernel; math is written out by torch, slower,
                and has the second derivative that gradient penalties and Hessian products need.
            checkpoint_activations: keep only each block's input for the backward pass and compute
                the rest again: memory for about a third more time.

        Raises:
            ValueError: heads do not divide ``dim``.
        """
        super().__init__()
        if dim % heads:
            raise ValueError(f"heads must divide dim, got {heads} heads for dim {dim}")
        self.sequence_length = sequence_length
        self.checkpoint_activations = checkpoint_activations
        self.tokens = nn.Embedding(vocabulary_size, dim)
        self.positions = nn.Embedding(sequence_length, dim)
        self.dropout = nn.Dropout(dropout)
        hidden = round(dim * mlp_ratio)
        fused = attention == "fused"
        blocks = [CausalBlock(dim, heads, hidden, dropout, fused) for _ in range(depth)]
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, vocabulary_size, bias=False)
        self.apply(_initialise)
        for block in blocks:
            # Each block adds twice to the stream: its outputs start smaller the deeper the model.
            for layer in (block.project, block.contract):
                nn.init.normal_(layer.weight, std=_STD / (2 * depth) ** 0.5)
        if tie_embeddings:
            self.head.weight = self.tokens.weight

    def forward(self, tokens: Tensor) -> dict[str, Tensor]:
        """Outputs for ``tokens``, int64 of shape (B, T) with T at most ``sequence_length``.

        Returns:
            ``logits`` (B, T, vocabulary_size), the prediction of the token after each position,
            and ``embedding`` (B, T, dim), the head's input.

        Raises:
            ValueError: the sequences are too long.
        """
        length = tokens.shape[1]
        if length > self.sequence_length:
            raise ValueError(
                f"sequences have {length} tokens, the model has {self.sequence_length} positions"
            )
        places = torch.arange(length, device=tokens.device)
        x = self.dropout(self.tokens(tokens) + self.positions(places))
        for block in self.blocks:
            if self.checkpoint_activations and torch.is_grad_enabled():
                x = checkpoint(block, x, use_reentrant=False)
            else:
                x = block(x)
        embedding = self.norm(x)
        return {"logits": self.head(embedding), "embedding": embedding}


class CausalBlock(nn.Module):
    """Causal self-attention and a perceptron, each added to its input."""

    def __init__(self, dim: int, heads: int, hidden: int, dropout: float, fused: bool) -> None:
        """Build the block for tokens of length ``dim``."""
        super().__init__()
        self.heads = heads
        self.fused = fused
        self.norm1 = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.project = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.expand = nn.Linear(dim, hidden)
        self.contract = nn.Linear(hidden, dim)
        self.dropout = nn.Dropout(dropout)

    @property
    def queries(self) -> tuple[nn.Linear, int, int]:
        """The layer whose first outputs are queries, their number, and the size of a head."""
        dim = self.qkv.in_features
        return self.qkv, dim, dim // self.heads

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, dim) to the same shape."""
        x = x + self.dropout(self.attention(self.norm1(x)))
        perceptron = self.contract(functional.gelu(self.expand(self.norm2(x))))
        result: Tensor = x + self.dropout(perceptron)
        return result

    def attention(self, x: Tensor) -> Tensor:
        """Multi-head attention of each position to itself and earlier ones."""
        batch, length, dim = x.shape
        qkv = self.qkv(x).view(batch, length, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        rate = self.dropout.p if self.training else 0.0
        if self.fused:
            mixed = functional.scaled_dot_product_attention(q, k, v, dropout_p=rate, is_causal=True)
        else:
            with sdpa_kernel(SDPBackend.MATH):
                mixed = functional.scaled_dot_product_attention(
                    q, k, v, dropout_p=rate, is_causal=True
                )
        projected: Tensor = self.project(mixed.transpose(1, 2).reshape(batch, length, dim))
        return projected


def _initialise(module: nn.Module) -> None:
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=_STD)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
