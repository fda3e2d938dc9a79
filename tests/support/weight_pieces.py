"""Small pieces to write checkpoints of."""

from __future__ import annotations

from collections.abc import Callable

import torch

from trainwright.checkpoint import Piece

TwoRanks = Callable[[float], list[list[Piece]]]


def weight_piece(tensor: torch.Tensor, name: str = "model.w") -> Piece:
    return Piece("param", name, tuple(tensor.shape), 0, tensor.reshape(-1))
