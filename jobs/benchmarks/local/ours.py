"""A whole worker of ours with the local engine.

python -m local.ours LINE BLOCK JOB, started by ``local/measure.py``.
"""

from __future__ import annotations

import sys
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from common.pace import Pace
from common.turns import Worker

from local.work import Answer, growth
from trainwright.data.loading import load_splits
from trainwright.job.models import TrainJob


def main() -> None:
    """Serve the benchmark at the other end of the line."""
    line, _, file = sys.argv[1:]  # the job knows how many updates a turn has
    torch.set_num_threads(1)
    pace = Pace(Connection(int(line)))
    job = TrainJob.model_validate_json(Path(file).read_text())
    folder = Path(file).parent
    splits = load_splits(job.data, base=folder, workers=1, seed=job.seed)
    grown = growth()
    worker = Worker(job, folder / "run", splits=splits)
    pace.serve(worker.turn)
    most = grown.bytes()  # before the last checkpoint, which others have not
    worker.close()
    pace.end(Answer(worker.losses(), most))


if __name__ == "__main__":
    main()
