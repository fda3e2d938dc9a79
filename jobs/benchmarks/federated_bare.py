"""A serial loop in plain PyTorch over the clients of each round, for the federated benchmark.

python federated_bare.py LINE BLOCK KEEP_AFTER WORK STEP, started by ``federated_sides.py``.
"""

from __future__ import annotations

import sys
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from federated_work import LocalTraining, Pace, Work


class Bare:
    """Rounds of federated averaging, written by hand."""

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


def main() -> None:
    """Serve the benchmark at the other end of the line."""
    line, block, keep_after, work, step = sys.argv[1:]
    torch.set_num_threads(1)
    pace = Pace(Connection(int(line)), int(keep_after))
    bare = Bare(Work.load(Path(work)), step == "by hand")

    def turn(rounds: int = int(block)) -> None:
        for _ in range(rounds):
            bare.round()
            pace.keep(bare.rounds, bare.weights)

    turn(1)
    pace.serve(turn)
    pace.end()


if __name__ == "__main__":
    main()
