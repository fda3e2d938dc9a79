"""Further batches that strategies draw: the same order on any number of workers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from trainwright.training.feed import Feed


class Streams:
    """Feeds by name, each with its own place; the places are part of a checkpoint.

    Args:
        feeds: by the name under which a strategy declared the stream.
    """

    def __init__(self, feeds: Mapping[str, Feed]) -> None:
        self._feeds = feeds
        self._taken = dict.fromkeys(feeds, 0)

    def next(self, name: str) -> dict[str, Tensor]:
        """This worker's share of the next global batch, on the CPU.

        Raises:
            KeyError: no strategy declared such a stream.
        """
        if name not in self._feeds:
            declared = ", ".join(self._feeds) or "none"
            raise KeyError(f"no stream {name!r}; declared by streams(): {declared}")
        update = self._feeds[name][self._taken[name]]
        self._taken[name] += 1
        (batch,) = update.batches
        return batch

    def close(self) -> None:
        """End threads and let go of memory."""
        for feed in self._feeds.values():
            feed.close()

    def state_dict(self) -> dict[str, Any]:
        """How many batches were taken of each."""
        return dict(self._taken)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back ``state_dict``."""
        self._taken = {name: int(state.get(name, 0)) for name in self._feeds}
