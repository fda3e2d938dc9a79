"""A federation as ``trainwright run`` runs it, for the federated benchmark.

python -m federated.paced LINE BLOCK KEEP_AFTER JOB, started by ``federated/sides.py``.
"""

from __future__ import annotations

import json
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import ClassVar

from common.handover import Handover
from common.turns import noting
from torch import Tensor

import trainwright
from federated.work import Keeping
from trainwright.federated import Reduced, State
from trainwright.tracking import JournalWriter
from trainwright_strategies.aggregators.fedavg import FedAvg


class Paced(FedAvg):
    """Federated averaging that waits for its turn after the first round and every block of them.

    Args:
        block: rounds in one turn.
    """

    handover: ClassVar[Handover]
    pace: ClassVar[Keeping]
    journals: ClassVar[list[JournalWriter]] = []
    is_over: ClassVar[bool] = False

    def __init__(self, block: int) -> None:
        super().__init__()
        self.block = block

    def server(self, weights: Tensor, reduced: Reduced, state: State) -> tuple[Tensor, State]:
        """Move along the mean update, and let the others work."""
        weights, state = super().server(weights, reduced, state)
        Paced.pace.keep(reduced.round + 1, weights)
        if reduced.round % self.block == 0 and not Paced.is_over:
            for journal in Paced.journals:
                journal.flush()
            Paced.handover.end_turn()
        return weights, state


def serve(line: Connection, keep_after: int, job: Path) -> None:
    """Run a job, turn by turn."""
    Paced.pace = Keeping(line, keep_after)
    Paced.handover = Handover()
    noting(Paced.journals)
    Paced.handover.start(lambda: trainwright.run(json.loads(job.read_text())))
    Paced.pace.serve(Paced.handover.turn)
    Paced.is_over = True
    Paced.handover.last_turn()
    Paced.pace.hand_over()


if __name__ == "__main__":
    # The job knows the aggregator by the module's name, and this is another module.
    from federated.paced import serve

    serve(Connection(int(sys.argv[1])), int(sys.argv[3]), Path(sys.argv[4]))
