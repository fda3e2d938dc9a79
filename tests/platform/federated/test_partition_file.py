from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from pyarrow import parquet

from trainwright.data import Table
from trainwright.errors import JobError
from trainwright.federated import Drawn, Indexed
from trainwright.federated.population.partition_file import keep_partition, kept_digest
from trainwright.storage import Folder

TABLE = Table.from_arrays(
    {"features": torch.zeros(12, 2), "target": torch.arange(12) % 3},
    {"features": "vector", "target": "class"},
).subset(torch.arange(2, 12))
"""Ten rows that a split left of twelve: row 0 is sample 2."""

LISTED = Indexed.of(np.arange(10) % 3, 3)
OTHER = Indexed.of(np.arange(10) // 4, 3)
POOL = Indexed.of(np.zeros(10, dtype=np.int64), 1)


def drawn(seed: int) -> Drawn:
    return Drawn(10**9, seed, POOL, (2, 3))


@pytest.fixture
def folder(tmp_path):
    return Folder(str(tmp_path / "run"))


def test_a_list_of_clients_and_samples(folder):
    assert keep_partition(folder, LISTED, TABLE) == "partition.parquet"
    kept = parquet.read_table(folder.local_path() / "partition.parquet")
    assert kept["client"].to_pylist() == [0] * 4 + [1] * 3 + [2] * 3
    assert kept["sample_id"].to_pylist() == [2, 5, 8, 11, 3, 6, 9, 4, 7, 10]
    assert kept.schema.metadata == {b"num_clients": b"3", b"digest": LISTED.digest().encode()}


def test_a_description_of_clients_that_are_not_listed(folder):
    assert keep_partition(folder, drawn(4), TABLE) == "partition.json"
    kept = json.loads((folder.local_path() / "partition.json").read_text())
    assert kept == {
        "kind": "Drawn",
        "num_clients": 10**9,
        "digest": drawn(4).digest(),
        "seed": 4,
        "samples": [2, 3],
        "alpha": None,
        "pools": POOL.digest(),
    }


@pytest.mark.parametrize("partition", [LISTED, drawn(0)], ids=["listed", "drawn"])
def test_a_run_goes_on_with_its_own_partition(folder, partition):
    assert kept_digest(folder) is None
    name = keep_partition(folder, partition, TABLE)
    before = (folder.local_path() / name).stat().st_mtime_ns
    assert keep_partition(folder, partition, TABLE) == name
    assert (folder.local_path() / name).stat().st_mtime_ns == before
    assert kept_digest(folder) == partition.digest()


@pytest.mark.parametrize(
    ("first", "then"),
    [(LISTED, OTHER), (drawn(0), drawn(1)), (LISTED, drawn(0)), (drawn(0), LISTED)],
    ids=["listed", "drawn", "drawn for listed", "listed for drawn"],
)
def test_another_partition_is_refused(folder, first, then):
    keep_partition(folder, first, TABLE)
    with pytest.raises(JobError) as raised:
        keep_partition(folder, then, TABLE)
    (problem,) = raised.value.problems
    assert problem.path == "federation.partition"
    assert (problem.got, problem.allowed) == (then.digest(), first.digest())
    assert "start a new run" in problem.mend
    assert kept_digest(folder) == first.digest()


@pytest.mark.parametrize(
    ("partition", "name"), [(LISTED, "partition.parquet"), (drawn(0), "partition.json")]
)
def test_a_damaged_file_is_told_and_written_anew(folder, partition, name, caplog):
    keep_partition(folder, partition, TABLE)
    file = folder.local_path() / name
    file.write_bytes(file.read_bytes()[:-5])
    assert keep_partition(folder, partition, TABLE) == name
    assert "damaged" in caplog.text
    assert kept_digest(folder) == partition.digest()


def test_a_store_that_is_no_disk(tmp_path):
    folder = Folder("memory://partition-file-test")
    keep_partition(folder, LISTED, TABLE)
    assert kept_digest(folder) == LISTED.digest()
