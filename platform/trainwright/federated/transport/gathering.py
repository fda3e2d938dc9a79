"""Clients that were trained one by one, put together before their messages are made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import reduce

import torch
from torch import Tensor

from trainwright.federated.clients.trainer import Chunk

MOST_NUMBERS = 1 << 22
"""Weights that wait until their messages are made: 16 MiB."""


def gathered(chunks: Iterable[Chunk], most: int = MOST_NUMBERS) -> Iterator[Chunk]:
    """Chunks of clients, in their order, joined as far as they hold few weights.

    To make the messages of many clients at once takes hardly longer than those of one, which is
    as long as an update of a small model.

    Args:
        chunks: of single clients, or of several.
        most: weights in a joined chunk; one that holds more stays as it is.
    """
    waiting: list[Chunk] = []
    numbers = 0
    for chunk in chunks:
        numbers += chunk.weights.numel()
        if waiting and numbers > most:
            yield _joined(waiting)
            waiting, numbers = [], chunk.weights.numel()
        waiting.append(chunk)
    if waiting:
        yield _joined(waiting)


def _joined(chunks: Sequence[Chunk]) -> Chunk:
    if len(chunks) == 1:
        return chunks[0]
    return Chunk(
        [member for chunk in chunks for member in chunk.members],
        torch.cat([chunk.weights for chunk in chunks]),
        torch.cat([chunk.buffers for chunk in chunks]),
        torch.cat([chunk.losses for chunk in chunks]),
        [steps for chunk in chunks for steps in chunk.steps],
        {name: _highest([chunk.counters[name] for chunk in chunks]) for name in chunks[0].counters},
    )


def _highest(counters: Sequence[Tensor]) -> Tensor:
    return reduce(torch.maximum, counters)
