"""A trained run's outputs for samples it has not seen, as a parquet file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from trainwright.data.facts import target_column
from trainwright.data.rows import Rows
from trainwright.data.table import SAMPLE_ID, Column
from trainwright.errors import InputError, Problem
from trainwright.orchestration.evaluating import batch_size_of, evaluator_of, rebuilt_run
from trainwright.orchestration.rebuilding import Rebuilt
from trainwright.orchestration.unseen import needed_columns, unseen
from trainwright.overview import open_storage
from trainwright.storage import Folder

PREDICTION = "prediction"


@dataclass(frozen=True)
class Predicted:
    """What was written.

    Attributes:
        run: name of the run.
        checkpoint: name of the checkpoint that the weights are from.
        step: updates that were finished then.
        file: URL of the parquet file.
        num_samples: its rows, in the order of the samples.
        columns: its columns: ``sample_id``, each output of the model, and for a class target
            ``prediction``, the label of the largest of ``logits``.
        remarks: damaged checkpoints that were passed over.
    """

    run: str
    checkpoint: str
    step: int
    file: str
    num_samples: int
    columns: list[str]
    remarks: list[str]


def predict_run(
    folder: Folder, data: str, out: str, which: str | int | None = None, trusted: bool = False
) -> Predicted:
    """Write a run's outputs for other samples; targets need not be among their columns.

    The model runs in this process, in float32, through the strategies' ``predict`` hooks.

    Args:
        folder: the run's folder.
        data: a path, URL or dataset with the columns that the model reads.
        out: path or URL of the parquet file to write.
        which: ``best``, ``last`` or a step; by default best if the job monitors a metric.
        trusted: whether code that comes with the run may be executed, see ``rebuild``.

    Raises:
        InputError: no such checkpoint, the samples lack a column, or ``out`` cannot be written.
        RunError: the run has no checkpoint.
    """
    place, file = _target(out)
    rebuilt, remarks = rebuilt_run(folder, which, trusted)
    table = unseen(rebuilt, data, needed_columns(rebuilt))
    columns = _write(rebuilt, table, place, file)
    name = folder.url.rstrip("/").rsplit("/", 1)[-1]
    checkpoint = rebuilt.checkpoint
    url = place.join(file)
    return Predicted(name, checkpoint.name, checkpoint.step, url, len(table), columns, remarks)


def _target(out: str) -> tuple[Folder, str]:
    parent, _, file = out.rpartition("/")
    if not file.endswith((".parquet", ".pq")):
        raise InputError(Problem("--out", "must end with .parquet", out))
    return open_storage(parent or ("/" if out.startswith("/") else "."), "--out"), file


def _write(rebuilt: Rebuilt, table: Rows, place: Folder, file: str) -> list[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    place.fs.makedirs(place.path, exist_ok=True)
    writer: Any = None
    with place.fs.open(f"{place.path}/{file}", "wb") as stream:
        for columns in _predictions(rebuilt, table):
            part = pa.table({name: _array(value) for name, value in columns.items()})
            writer = writer or pq.ParquetWriter(stream, part.schema)
            writer.write_table(part)
        assert writer is not None  # a source without samples is refused when it is read
        names: list[str] = list(writer.schema.names)
        writer.close()
    return names


@torch.no_grad()
def _predictions(rebuilt: Rebuilt, table: Rows) -> Iterator[dict[str, Any]]:
    evaluator, splits = evaluator_of(rebuilt), rebuilt.assembly.splits
    target = target_column(splits.columns)
    about = None if target is None else splits.columns[target]
    rebuilt.assembly.module.eval()
    for rows in table.chunks(batch_size_of(rebuilt)):
        raw = table.take(rows)
        outputs = evaluator.forward(splits.transforms(dict(raw), 0, training=False))
        yield {SAMPLE_ID: raw[SAMPLE_ID], **outputs, **_labels(outputs, about)}


def _labels(outputs: Mapping[str, Tensor], about: Column | None) -> dict[str, Any]:
    """The most likely class, where the target is one and the model gives its logits."""
    logits = outputs.get("logits")
    if about is None or about.kind != "class" or logits is None:
        return {}
    if logits.dim() != 2 or logits.shape[1] != about.num_classes:
        return {}
    best = logits.argmax(dim=1)
    if about.labels is None:
        return {PREDICTION: best}
    return {PREDICTION: [about.labels[index] for index in best.tolist()]}


def _array(value: Any) -> Any:
    """A column of numbers, or of lists of numbers for outputs with more than one each."""
    import pyarrow as pa

    if not isinstance(value, Tensor):
        return pa.array(value)
    value = value.detach().cpu()
    value = value.float() if value.dtype in (torch.bfloat16, torch.float16) else value
    flat = value.reshape(len(value), -1)
    if flat.shape[1] == 1:
        return pa.array(flat[:, 0].numpy())
    return pa.FixedSizeListArray.from_arrays(pa.array(flat.reshape(-1).numpy()), flat.shape[1])
