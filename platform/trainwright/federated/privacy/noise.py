"""Gaussian noise as a pure function of the seed, the round and the client."""

from __future__ import annotations

import torch
from torch import Tensor

from trainwright.data.random import key, normal

_SERVER = torch.zeros(1, dtype=torch.int64)


def central_noise(size: int, std: float, seed: int, round: int) -> Tensor:
    """What the server adds once to a sum of updates: float64 of shape (size,).

    Args:
        size: elements of an update, d.
        std: standard deviation, at least 0.
        seed: of the job.
        round: from 0.
    """
    return std * normal(key(seed, "central noise", round), _SERVER, (size,))[0].double()


def local_noise(size: int, std: float, seed: int, round: int, clients: Tensor) -> Tensor:
    """What clients add to their own updates: float32 of shape (clients, size).

    Args:
        size: elements of an update, d.
        std: standard deviation, at least 0.
        seed: of the job.
        round: from 0.
        clients: their numbers, int64, shape (clients,).
    """
    return std * normal(key(seed, "local noise", round), clients, (size,))


def count_noise(std: float, seed: int, round: int) -> float:
    """What the server adds to the number of updates within the clip."""
    return std * float(normal(key(seed, "count noise", round), _SERVER)[0])
