"""A plain loop that trains a convnet with ghost batch norm or without: a side in turn.

Run as a module with the number of its end of the line, the updates in a turn, a file of samples and
weights (``samples``), and whose layers: ``plain``, ``ours`` or ``composer``, whose environment of
its own has nothing of ours.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from multiprocessing.connection import Connection

import numpy as np
import torch
from common.pace import Pace
from torch import nn

GHOST = 32
CHANNELS = 3, 32, 64, 64


def net() -> nn.Sequential:
    """Three convolutions with batch norm, spatial mean, linear head."""
    layers: list[nn.Module] = []
    for before, after in pairwise(CHANNELS):
        stride = 1 if before == CHANNELS[0] else 2
        layers += [nn.Conv2d(before, after, 3, stride, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def samples(count: int) -> dict[str, np.ndarray]:
    """Images, classes and the weights that all sides start from."""
    random = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    found = {f"weights.{name}": value.numpy() for name, value in net().state_dict().items()}
    found["images"] = torch.randn(count, 3, 32, 32, generator=random).numpy()
    found["classes"] = torch.randint(10, (count,), generator=random).numpy()
    return found


def with_ghosts(model: nn.Module, whose: str) -> None:
    """Put somebody's ghost batch norm into a model."""
    if whose == "ours":
        from trainwright_strategies.ghost_batch_norm import ghost_batch_norm

        ghost_batch_norm(model, GHOST)
    elif whose == "composer":
        from composer.algorithms.ghost_batchnorm import apply_ghost_batchnorm

        apply_ghost_batchnorm(model, GHOST)


def main(end: str, block: str, file: str, whose: str) -> None:
    """Train when told to; hands over the losses."""
    torch.set_num_threads(1)
    pace = Pace(Connection(int(end)))
    stored = np.load(file)
    model = net()
    start = {n[8:]: torch.from_numpy(stored[n]) for n in stored.files if n.startswith("weights.")}
    model.load_state_dict(start)
    with_ghosts(model, whose)
    images, classes = (torch.from_numpy(stored[name]) for name in ("images", "classes"))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    losses = []

    def turn() -> None:
        for _ in range(int(block)):
            loss = nn.functional.cross_entropy(model(images), classes)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(float(loss.detach()))

    pace.serve(turn)
    pace.end(losses)


if __name__ == "__main__":
    main(*sys.argv[1:])
