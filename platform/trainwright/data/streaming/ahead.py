"""Blocks in their order, the next one made in a thread while the present one is used."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor

from trainwright.data.streaming.blocks import Block, Blocks
from trainwright.data.streaming.order import StreamOrder
from trainwright.data.streaming.reading import Tensors, joined
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
        self._block: Block | None = None
        self._next: tuple[Place, Future[Block]] | None = None

    def take(self, epoch: int, start: int, stop: int) -> Tensors:
        """The worker's rows ``start <= k < stop`` of an epoch, as fresh tensors.

        Raises:
            DataError: they cannot be read, or are not as declared.
        """
        number, first = divmod(start, self._size)
        if first + stop - start <= self._size:
            found = self._at((epoch, number)).take(first, first + stop - start)
        else:
            parts = []
            for number in range(start // self._size, -(-stop // self._size)):
                block, first = self._at((epoch, number)), number * self._size
                parts.append(block.take(max(start - first, 0), stop - first))
            found = joined(parts)
        return {name: as_given(self._columns[name], rows) for name, rows in found.items()}

    def close(self) -> None:
        """End the threads and let go of the memory; what is being read is waited for."""
        self._blocks.stop()
        self._thread.shutdown(cancel_futures=True)
        self._blocks.close()
        self._place, self._block, self._next = None, None, None

    def _at(self, place: Place) -> Block:
        if place != self._place:
            self._place, self._block = None, None
            if self._next is None or self._next[0] != place:
                self._submit(place)
            assert self._next is not None
            future = self._next[1]
            self._next = None
            self._block, self._place = future.result(), place
            following = self._following(place)
            if following is not None:
                self._submit(following)
        assert self._block is not None
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
