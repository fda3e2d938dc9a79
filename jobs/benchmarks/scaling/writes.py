"""What a run writes: rows of the journal, batches to MLflow, checkpoints, and their manifest."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from trainwright.checkpoint import CheckpointWriter, Piece
from trainwright.checkpoint.files import FileRecord
from trainwright.checkpoint.manifest import CheckpointName, Manifest, Sidecar, shard_name
from trainwright.checkpoint.pieces import Index, PieceRef, TensorEntry, merge
from trainwright.storage import Folder
from trainwright.tracking import JournalWriter

WEIGHTS = 16_000_000
"""Of a checkpoint, in float32."""

ROWS = 2000
TENSORS = 100
BATCH = 1000
VALUES = {f"train/quantity_{i}": 1.0 / (i + 1) for i in range(5)}


def checkpoints(folder: Path, repeats: int) -> list[float]:
    """Seconds for each byte of a checkpoint of one worker, on the disk of this machine."""
    writer = CheckpointWriter(Folder(str(folder / "checkpoints")), 0, 1, keep_last=1)
    weights = torch.randn(WEIGHTS)
    seconds = []
    for step in range(1, repeats + 1):
        began = time.perf_counter()
        writer.save(step, 1, [Piece("param", "w", (WEIGHTS,), 0, weights)], {}, None, {})
        writer.wait()
        seconds.append((time.perf_counter() - began) / (WEIGHTS * weights.element_size()))
    return seconds


def rows(folder: Path, repeats: int) -> list[float]:
    """Seconds of processor for a row of the journal, in all threads of the process."""
    found = []
    for attempt in range(1, repeats + 1):
        with JournalWriter(Folder(str(folder / "journal")), attempt, [], 1) as journal:
            began = time.process_time()
            for step in range(ROWS):
                journal.metrics(step, VALUES)
            journal.flush()
            found.append((time.process_time() - began) / ROWS)
    return found


def batches(folder: Path, repeats: int) -> list[float]:
    """Seconds until MLflow has stored a batch of a thousand values in SQLite."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    run = client.create_run(client.create_experiment("scaling")).info.run_id
    seconds = []
    for turn in range(repeats):
        metrics = [Metric("loss", 1.0 / (i + 1), 0, turn * BATCH + i) for i in range(BATCH)]
        began = time.perf_counter()
        client.log_batch(run, metrics)
        seconds.append(time.perf_counter() - began)
    return seconds


def commits(ranks: list[int], repeats: int) -> list[list[float]]:
    """Seconds of worker 0's processor to make one checkpoint of the parts of so many ranks.

    Each rank has a piece of each of ``TENSORS`` tensors, as at ZeRO 3.
    """
    return [[_commit(number) for _ in range(repeats)] for number in ranks]


def _commit(ranks: int) -> float:
    name = CheckpointName(1, 1)
    record = FileRecord(1 << 20, 1 << 20, ("0" * 64,))
    parts = [
        Sidecar(name, rank, ranks, record, _index(rank, ranks), {}).to_bytes()
        for rank in range(ranks)
    ]
    began = time.process_time()
    read = [Sidecar.from_bytes(part, "part") for part in parts]
    files = {shard_name(sidecar.rank, ranks): sidecar.record for sidecar in read}
    index = merge(sidecar.index for sidecar in read)
    Manifest(name, ranks, {}, {}, tuple({} for _ in read), files, index).to_bytes()
    return time.process_time() - began


def _index(rank: int, ranks: int) -> Index:
    piece = PieceRef(shard_name(rank, ranks), rank * 64, 64)
    entry = TensorEntry((ranks * 64,), torch.float32, (piece,))
    return {"param": {f"model.blocks.{i}.weight": entry for i in range(TENSORS)}}
