"""The same federation as a Flower simulation, for the federated benchmark.

PYTHON -m federated.flower LINE BLOCK ROUNDS WORK, started by ``federated/sides.py`` with the
Python of an environment of its own, see README.md. The weights of the last round are kept.
"""

from __future__ import annotations

import logging
import sys
import threading
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation

from federated.work import Keeping, LocalTraining, Work

PROCESSES = 2


@cache
def _training(work: str) -> LocalTraining:
    """The samples and the model of this process, which all clients that it plays share."""
    torch.set_num_threads(1)
    return LocalTraining(Work.load(Path(work)))


def client_app(work: str) -> ClientApp:
    """What a client does: train on its samples, which lie in memory."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        training = _training(work)
        sent = message.content["arrays"].to_numpy_ndarrays()
        weights = [torch.from_numpy(array) for array in sent]
        samples = training(int(context.node_config["partition-id"]), weights)
        arrays = ArrayRecord([p.detach().numpy() for p in training.parameters])
        metrics = MetricRecord({"num-examples": samples})
        content = RecordDict({"arrays": arrays, "metrics": metrics})
        return Message(content=content, reply_to=message)

    return app


class Paced(FedAvg):
    """Flower's federated averaging, which waits for its turn after the first and every block."""

    def __init__(self, pace: Keeping, block: int) -> None:
        super().__init__(fraction_train=1.0, fraction_evaluate=0.0)
        self._pace = pace
        self._block = block
        self.go, self.back = threading.Semaphore(0), threading.Semaphore(0)

    def aggregate_train(self, server_round: int, replies: Any) -> Any:
        """Average, and let the others work."""
        arrays, metrics = super().aggregate_train(server_round, replies)
        if arrays is None:
            raise RuntimeError(f"Flower's round {server_round} gave nothing")
        flat = np.concatenate([array.ravel() for array in arrays.to_numpy_ndarrays()])
        self._pace.keep(server_round, torch.from_numpy(flat))
        if (server_round - 1) % self._block == 0:
            self.back.release()
            self.go.acquire()
        return arrays, metrics

    def turn(self) -> None:
        """Let the server go on to its next pause."""
        self.go.release()
        self.back.acquire()


def main() -> None:
    """Serve the benchmark at the other end of the line."""
    line, block, rounds, file = sys.argv[1:]
    logging.getLogger("flwr").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    work = Work.load(Path(file))
    pace = Keeping(Connection(int(line)), int(rounds))
    strategy = Paced(pace, int(block))
    strategy.min_train_nodes = strategy.min_available_nodes = len(work.clients)
    server = ServerApp()

    @server.main()
    def serve(grid: Grid, context: Context) -> None:
        weights = LocalTraining(work).cut(work.weights)
        arrays = ArrayRecord([tensor.numpy() for tensor in weights])
        strategy.start(grid=grid, initial_arrays=arrays, num_rounds=int(rounds))

    def pacing() -> None:
        strategy.back.acquire()
        pace.serve(strategy.turn)
        strategy.go.release()

    thread = threading.Thread(target=pacing, daemon=True)
    thread.start()
    run_simulation(
        server_app=server,
        client_app=client_app(file),
        num_supernodes=len(work.clients),
        backend_config={
            "init_args": {"num_cpus": PROCESSES, "include_dashboard": False},
            "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
        },
    )
    thread.join()
    pace.hand_over()


if __name__ == "__main__":
    # Its processes import the module that holds what they run, by a name that they can find.
    from federated.flower import main

    main()
