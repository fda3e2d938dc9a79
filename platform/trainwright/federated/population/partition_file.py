"""The partition in a run's folder: to be read by others, and to be held against when continued."""

from __future__ import annotations

import io
import logging
from typing import Any

import numpy as np

from trainwright.data.table import SAMPLE_ID, Table
from trainwright.errors import JobError, Problem
from trainwright.federated.partition import Indexed, Partition
from trainwright.federated.population.partitioning import PATH
from trainwright.storage import Folder

LISTED = "partition.parquet"
"""Columns ``client`` and ``sample_id``, a line for each sample; the digest in its metadata."""

DESCRIBED = "partition.json"
"""Of a partition that is a function of the client's number: what it is a function of."""

_DIGEST = "digest"

_log = logging.getLogger(__name__)


def keep_partition(folder: Folder, partition: Partition, table: Table) -> str:
    """Write the partition into a run's folder, or hold it against the one that is there.

    Args:
        folder: of the run.
        partition: as it was made now.
        table: the training samples.

    Returns:
        The name of the file.

    Raises:
        JobError: the run was started with another partition.
    """
    name = LISTED if isinstance(partition, Indexed) else DESCRIBED
    kept = kept_digest(folder)
    if kept is None:
        _write(folder, name, partition, table)
    elif kept != partition.digest():
        raise JobError(
            Problem(
                PATH,
                f"the run was started with another partition of its samples ({name})",
                got=partition.digest(),
                allowed=kept,
                mend="data, seed, federation.clients and federation.partition must be those of "
                "its start: undo the change, or start a new run",
            )
        )
    return name


def kept_digest(folder: Folder) -> str | None:
    """The digest of the partition in a run's folder; None where there is none, or it is damaged."""
    described = folder.read_object(DESCRIBED)
    if described is not None:
        return str(described.get(_DIGEST))
    if not folder.exists(LISTED):
        return None
    import pyarrow
    from pyarrow import parquet

    try:
        with folder.fs.open(folder.join(LISTED), "rb") as file:
            metadata = parquet.read_schema(file).metadata or {}
    except pyarrow.ArrowInvalid as error:
        _log.warning("%s is damaged and written anew: %s", folder.join(LISTED), error)
        return None
    return str(metadata.get(_DIGEST.encode(), b"").decode())


def _write(folder: Folder, name: str, partition: Partition, table: Table) -> None:
    known: dict[str, Any] = {"num_clients": partition.num_clients, _DIGEST: partition.digest()}
    if isinstance(partition, Indexed):
        folder.write_bytes(name, _parquet(partition, table, known))
    else:
        described = {"kind": type(partition).__name__, **known, **partition.description()}
        folder.write_json(name, described)


def _parquet(partition: Indexed, table: Table, known: dict[str, Any]) -> bytes:
    import pyarrow
    from pyarrow import parquet

    sizes = partition.sizes(np.arange(partition.num_clients))
    columns = {
        "client": np.repeat(np.arange(partition.num_clients), sizes),
        SAMPLE_ID: table.tensors[SAMPLE_ID][partition.indices].numpy(),
    }
    listed = pyarrow.table(columns).replace_schema_metadata(
        {key: str(value) for key, value in known.items()}
    )
    content = io.BytesIO()
    parquet.write_table(listed, content, compression="zstd")
    return content.getvalue()
