"""A serial loop in plain PyTorch over the clients of each round, for the federated benchmark.

python -m federated.bare LINE BLOCK KEEP_AFTER WORK WAY, started by ``federated/sides.py``; WAY is
``usual``, ``tuned`` or ``by hand``.
"""

from __future__ import annotations

import sys
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from federated.work import LEARNING_RATE, Keeping, LocalTraining, Work


class Usual:
    """Rounds of federated averaging as they are usually written.

    Each client loads the server's weights and has an optimizer of its own, as ours does in every
    round; the server averages state dictionaries.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self._train = LocalTraining(work)
        self._model = self._train.model
        self._train.put(self._train.cut(work.weights))
        self._state = {n: t.clone() for n, t in self._model.state_dict().items()}
        self._shares = [len(rows) / len(work.y) for rows in work.clients]
        self.rounds = 0

    @property
    def weights(self) -> Tensor:
        """The server's, shape (d,)."""
        return torch.cat([self._state[name].flatten() for name in self._state])

    def round(self) -> None:
        """Train all clients, and average them by their samples."""
        mean = {name: torch.zeros_like(value) for name, value in self._state.items()}
        for client, share in enumerate(self._shares):
            self._model.load_state_dict(self._state)
            optimizer = torch.optim.SGD(self._model.parameters(), lr=LEARNING_RATE)
            for x, y in self._train.batches(client):
                optimizer.zero_grad()
                functional.cross_entropy(self._model(x), y).backward()
                optimizer.step()
            for name, value in self._model.state_dict().items():
                mean[name] += share * value
        self._state = mean
        self.rounds += 1


class Tuned:
    """The same with one optimizer for all clients, and no copy that can be spared."""

    def __init__(self, work: Work, by_hand: bool) -> None:
        self._work = work
        self._train = LocalTraining(work, by_hand)
        self.weights = work.weights.clone()
        self._views = self._train.cut(self.weights)
        self._shares = [len(rows) / len(work.y) for rows in work.clients]
        self.rounds = 0

    def round(self) -> None:
        """Train all clients, and average them by their samples."""
        mean = torch.zeros_like(self.weights)
        views = self._train.cut(mean)
        for client, share in enumerate(self._shares):
            self._train(client, self._views)
            with torch.no_grad():
                torch._foreach_add_(views, self._train.parameters, alpha=share)
        self.weights.copy_(mean)
        self.rounds += 1


def loop_of(work: Work, way: str) -> Usual | Tuned:
    """The loop of that way: ``usual``, ``tuned`` or ``by hand``."""
    return Usual(work) if way == "usual" else Tuned(work, way == "by hand")


def main() -> None:
    """Serve the benchmark at the other end of the line."""
    line, block, keep_after, work, way = sys.argv[1:]
    torch.set_num_threads(1)
    pace = Keeping(Connection(int(line)), int(keep_after))
    bare = loop_of(Work.load(Path(work)), way)

    def turn(rounds: int = int(block)) -> None:
        for _ in range(rounds):
            bare.round()
            pace.keep(bare.rounds, bare.weights)

    turn(1)
    pace.serve(turn)
    pace.hand_over()


if __name__ == "__main__":
    main()
