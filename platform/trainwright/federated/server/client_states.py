"""What clients keep between their rounds: created at their first, kept in shards on disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from trainwright.federated.aggregator import State
from trainwright.federated.server.state_shard import ENDING, StateShard
from trainwright.storage import Folder

PLACE = "clients"


class ClientStates:
    """The states of the clients that ever took part; of the others nothing is held.

    New states wait in memory until the next checkpoint, or until they take ``memory_bytes``; then
    they are written as a shard, named by the round that they are from. Shards are only ever
    added: a run that is continued from an earlier round finds the states of that time, and
    removes the shards that are younger.

    Args:
        folder: the run's folder.
        first: state of a client that takes part for the first time.
        rounds: rounds that are finished; younger shards do not count.
        memory_bytes: what may wait in memory.

    Raises:
        CheckpointError: a shard is damaged.
    """

    def __init__(
        self, folder: Folder, first: State, rounds: int, memory_bytes: int = 1 << 28
    ) -> None:
        self._folder = folder / PLACE
        self._first = first
        self._limit = memory_bytes
        self._waiting: dict[int, State] = {}
        self._waiting_bytes = 0
        self._shards: dict[int, StateShard] = {}
        self._newest: dict[int, int] = {}
        for number in sorted(_numbers(folder.names(PLACE))):
            if number <= rounds:
                self._know(number, StateShard.open(self._folder, _name(number)))
            else:
                self._folder.remove(_name(number))

    def __len__(self) -> int:
        """Clients that have a state."""
        return len(self._newest.keys() | self._waiting.keys())

    def get(self, clients: Iterable[int]) -> list[State]:
        """The states of some clients.

        Raises:
            CheckpointError: one of them is damaged.
        """
        return [self._get(client) for client in clients]

    def put(self, clients: Sequence[int], states: Sequence[State], rounds: int) -> None:
        """Take new states.

        Args:
            clients: whose they are.
            states: of each.
            rounds: rounds that are finished with the one that they are from.
        """
        for client, state in zip(clients, states, strict=True):
            self._waiting_bytes += _size(state) - _size(self._waiting.get(client, {}))
            self._waiting[client] = state
        if self._waiting_bytes > self._limit:
            self.flush(rounds)

    def flush(self, rounds: int) -> None:
        """Write the states that wait in memory.

        Args:
            rounds: rounds that are finished.
        """
        if not self._waiting:
            return
        shard = StateShard.write(self._folder, _name(rounds), self._waiting)
        self._know(rounds, shard)
        self._waiting, self._waiting_bytes = {}, 0

    def forget(self, rounds: int) -> None:
        """Remove shards that no checkpoint needs: all of their clients have newer states.

        Args:
            rounds: rounds that were finished at the oldest checkpoint that is kept.
        """
        seen: set[int] = set()
        for number in sorted(self._shards, reverse=True):
            if number > rounds:
                continue
            if seen.issuperset(self._shards[number].clients):
                self._folder.remove(_name(number))
                del self._shards[number]
            else:
                seen.update(self._shards[number].clients)

    def _get(self, client: int) -> State:
        if client in self._waiting:
            return self._waiting[client]
        if client in self._newest:
            return self._shards[self._newest[client]].read(client)
        return self._first

    def _know(self, number: int, shard: StateShard) -> None:
        self._shards[number] = shard
        self._newest.update(dict.fromkeys(shard.clients, number))


def _name(rounds: int) -> str:
    return f"round-{rounds:08d}{ENDING}"


def _numbers(names: Iterable[str]) -> list[int]:
    return [int(n.removesuffix(ENDING).removeprefix("round-")) for n in names if n.endswith(ENDING)]


def _size(state: Mapping[str, object]) -> int:
    return sum(getattr(tensor, "nbytes", 0) for tensor in state.values())
