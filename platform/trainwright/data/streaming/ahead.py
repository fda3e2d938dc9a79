"""Blocks in their order, the next one made in a thread while the present one is used."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from trainwright.data.streaming.blocks import Blocks
from trainwright.data.streaming.order import StreamOrder
from trainwright.data.streaming.reading import Tensors
from trainwright.data.table import Column, as_given

Place = tuple[int, int]
"""Epoch and window."""


class ReadAhead:
    """The rows of one worker, in its order; threads and memory are held until it is closed.

    Args:
        blocks: makes the blocks.
        columns: what their columns hold.
        order: of the table.
        world_size: number of workers.
        epochs: after which nothing is read ahead; None for no end.
    """

    def __init__(
        self,
        blocks: Blocks,
        columns: Mapping[str, Column],
        order: StreamOrder,
        world_size: int,
        epochs: int | None = None,
    ) -> None:
        self._blocks = blocks
        self._columns = columns
        self._num_windows = order.num_windows
        self._size = order.span // world_size
        self._epochs = epochs
        self._thread = ThreadPoolExecutor(1, "read ahead")
        self._place: Place | None = None
        self._block: Tensors = {}
        self._next: tuple[Place, Future[Tensors]] | None = None

    def take(self, epoch: int, start: int, stop: int) -> Tensors:
        """The worker's rows ``start <= k < stop`` of an epoch, as fresh tensors.

        Raises:
            DataError: they cannot be read, or are not as declared.
        """
        number, first = divmod(start, self._size)
        if first + stop - start <= self._size:
            block, last = self._at((epoch, number)), first + stop - start
            return {name: self._given(name, [t[first:last]]) for name, t in block.items()}
        parts = []
        for number in range(start // self._size, -(-stop // self._size)):
            block, first = self._at((epoch, number)), number * self._size
            low, high = max(start - first, 0), stop - first
            parts.append({name: tensor[low:high] for name, tensor in block.items()})
        return {name: self._given(name, [part[name] for part in parts]) for name in parts[0]}

    def close(self) -> None:
        """End the threads and let go of the memory; what is being read is waited for."""
        self._blocks.stop()
        self._thread.shutdown(cancel_futures=True)
        self._blocks.close()
        self._place, self._block, self._next = None, {}, None

    def _given(self, name: str, parts: list[torch.Tensor]) -> torch.Tensor:
        stored = torch.cat(parts) if len(parts) > 1 else parts[0]
        given = as_given(self._columns[name], stored)
        # A view would hold the whole block, and changes to it would show when it is asked again.
        return given.clone() if given is parts[0] else given

    def _at(self, place: Place) -> Tensors:
        if place != self._place:
            self._place, self._block = None, {}
            if self._next is None or self._next[0] != place:
                self._submit(place)
            assert self._next is not None
            future = self._next[1]
            self._next = None
            self._block, self._place = future.result(), place
            following = self._following(place)
            if following is not None:
                self._submit(following)
        return self._block

    def _submit(self, place: Place) -> None:
        if self._next is not None:
            self._next[1].cancel()
        self._next = place, self._thread.submit(self._blocks, *place)

    def _following(self, place: Place) -> Place | None:
        epoch, number = place
        if number + 1 < self._num_windows:
            return epoch, number + 1
        return None if epoch + 1 == self._epochs else (epoch + 1, 0)
