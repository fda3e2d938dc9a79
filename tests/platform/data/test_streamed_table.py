"""A streamed table gives what the same files give when they are read whole."""

from __future__ import annotations

import tempfile
import threading
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from streamed_files import arrow_table, in_memory, streamed, write_files

from trainwright.data.streaming import memory
from trainwright.data.streaming.order import StreamOrder
from trainwright.data.streaming.table import StreamedTable
from trainwright.errors import DataError, Problem

FILES = [[7, 1, 20], [13], [5, 5, 30, 2]]


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_files(tmp_path_factory.mktemp("parquet"), FILES)


@pytest.fixture(scope="module")
def arrow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_files(tmp_path_factory.mktemp("arrow"), FILES, "arrow")


def assert_same(table: StreamedTable, folder: Path, rows: torch.Tensor) -> None:
    whole = in_memory(folder)
    assert table.columns == whole.columns
    expected, got = whole.take(rows), table.take(rows)
    assert got.keys() == expected.keys()
    for name, values in expected.items():
        assert got[name].dtype == values.dtype, name
        assert got[name].equal(values), name


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_rows_are_those_of_the_files(kind: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(kind)
    table = streamed(folder)
    assert (len(table), table.num_ids, len(table.groups)) == (83, 83, 8)
    for rows in ([5], range(83), range(20, 45), [82, 3, 3, 40, 8, 7], []):
        assert_same(table, folder, torch.tensor(list(rows), dtype=torch.int64))


@pytest.mark.parametrize("large", [False, True])
def test_large_row_groups_are_stepped_through(
    parquet: Path, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    monkeypatch.setattr("trainwright.data.streaming.table._CACHE_SHARE", 2**40 if large else 1)
    monkeypatch.setattr(StreamedTable, "_step", 3)
    table = streamed(parquet)
    for rows in (range(0, 10), range(10, 25), range(4, 83), [81, 2]):
        assert_same(table, parquet, torch.tensor(list(rows)))


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("shuffle", [True, False])
def test_read_ahead_gives_the_order_of_every_worker(
    kind: str,
    on_disk: bool,
    shuffle: bool,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "plan", lambda *_: memory.Plan(not on_disk, 2, 0, 0))
    folder = request.getfixturevalue(kind)
    table = streamed(folder, shards=6, window=24)
    order, everything = table.order(7, shuffle), in_memory(folder)
    for rank in range(3):
        ahead = table.read_ahead(order, rank, 3, 3)
        for epoch in range(2):
            own = order.rows(epoch, 0, 83)[rank::3]
            for start in range(0, len(own), 5):
                rows = torch.from_numpy(own[start : start + 5])
                got = ahead.take(epoch, start, start + len(rows))
                for name, values in everything.take(rows).items():
                    assert got[name].equal(values), (rank, epoch, start, name)
        ahead.close()


def test_what_was_given_can_be_changed_and_asked_for_again(parquet: Path) -> None:
    table = streamed(parquet, shards=4, window=16)
    ahead = table.read_ahead(table.order(0, True), 0, 1, 1)
    first = ahead.take(0, 30, 40)
    kept = first["features"].clone()
    first["features"].zero_()
    assert ahead.take(0, 30, 40)["features"].equal(kept)
    ahead.take(0, 0, 3)
    assert ahead.take(0, 30, 40)["features"].equal(kept)
    ahead.close()


def test_closing_leaves_no_thread(parquet: Path) -> None:
    before = set(threading.enumerate())
    table = streamed(parquet, shards=4, window=16)
    ahead = table.read_ahead(table.order(0, True), 0, 1, 2)
    ahead.take(0, 0, 20)
    assert set(threading.enumerate()) > before
    ahead.close()
    assert set(threading.enumerate()) == before


def test_some_groups_keep_their_ids(parquet: Path) -> None:
    table = streamed(parquet).of_groups([2, 4, 7])
    assert (len(table), table.num_ids) == (27, 83)
    expected = [*range(8, 28), *range(41, 46), 81, 82]
    assert table.take(torch.arange(27))["sample_id"].tolist() == expected
    assert table.ids(np.arange(27)).tolist() == expected
    assert table.subset(torch.tensor([26, 0])).take(torch.arange(2))["weight"].tolist() == [
        [82.0],
        [8.0],
    ]


def test_the_sample_for_transforms_is_bounded_and_the_same_each_time(
    parquet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainwright.data.streaming.table.SAMPLE_ROWS", 16)
    monkeypatch.setattr("trainwright.data.streaming.table.SAMPLE_GROUPS", 4)
    one, other = streamed(parquet).sample(), streamed(parquet).sample()
    assert one.tensors["sample_id"].equal(other.tensors["sample_id"])
    assert len(one) <= 16
    assert len(streamed(parquet).head(3)) == 3


def refusal(folder: Path) -> list[Problem]:
    """What reading all of the files is refused for."""
    with pytest.raises(DataError) as caught:
        read_all(folder)
    return caught.value.problems


def read_all(folder: Path) -> None:
    table = streamed(folder, shards=4, window=16)
    with closing(table.read_ahead(table.order(0, True), 0, 1, 1)) as ahead:
        for row in range(len(table)):
            ahead.take(0, row, row + 1)


def spoilt(folder: Path, number: int, **columns: object) -> Path:
    """The files, one of them with other columns; None removes one."""
    write_files(folder, FILES)
    path = folder / f"part-{number}.parquet"
    table = pq.read_table(path)
    for name, values in columns.items():
        place = table.column_names.index(name)
        table = table.remove_column(place)
        if values is not None:
            table = table.add_column(place, name, [values])
    pq.write_table(table, path, row_group_size=10)
    return folder


def test_a_missing_column_names_its_file(tmp_path: Path) -> None:
    (problem,) = refusal(spoilt(tmp_path, 2, label=None))
    assert problem.path == "data.columns.target.from"
    assert "part-2.parquet" in problem.message
    assert problem.got == "label"


def test_a_wrong_type_in_one_file_names_file_and_column(tmp_path: Path) -> None:
    words = pa.array(["three"] * 42)
    (problem,) = refusal(spoilt(tmp_path, 2, a=words))
    assert "column 'a' has different types" in problem.message
    assert "string in" in problem.message
    assert "part-2.parquet" in problem.message


def test_a_wrong_value_names_file_row_group_and_row(tmp_path: Path) -> None:
    values = pa.array([float("nan") if row == 27 else 1.0 for row in range(42)])
    (problem,) = refusal(spoilt(tmp_path, 2, c=values))
    assert problem.path == "data.columns.features"
    assert "part-2.parquet, row group 2, row 7 (from 0): column 'c'" in problem.message


def test_a_class_that_does_not_exist_is_named(tmp_path: Path) -> None:
    labels = pa.array(["bat" if row == 3 else "cat" for row in range(13)])
    (problem,) = refusal(spoilt(tmp_path, 1, label=labels))
    assert "part-1.parquet, row group 0, row 3 (from 0): column 'label'" in problem.message
    assert (problem.got, problem.nearest) == ("bat", "cat")


def test_types_that_can_be_reconciled_are(tmp_path: Path) -> None:
    folder = spoilt(tmp_path, 1, a=pa.array(range(28, 41), pa.int8()))
    assert_same(streamed(folder), folder, torch.arange(83))


def test_a_damaged_row_group_is_named(tmp_path: Path) -> None:
    path = write_files(tmp_path, FILES) / "part-2.parquet"
    chunk = pq.ParquetFile(path).metadata.row_group(2).column(6)
    content = bytearray(path.read_bytes())
    for place in range(chunk.data_page_offset, chunk.data_page_offset + 16):
        content[place] ^= 0xFF
    path.write_bytes(content)
    (problem,) = refusal(tmp_path)
    assert "part-2.parquet cannot be read as parquet (row group 2, column 'weight')" in (
        problem.message
    )


def test_a_cut_off_file_is_named(tmp_path: Path) -> None:
    path = write_files(tmp_path, FILES) / "part-0.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    (problem,) = refusal(tmp_path)
    assert "part-0.parquet cannot be read as parquet (its footer)" in problem.message


def test_files_that_cannot_be_read_in_parts_are_refused(tmp_path: Path) -> None:
    (tmp_path / "part.csv").write_text("a,b\n1,2\n")
    (problem,) = refusal(tmp_path)
    assert "csv file" in problem.message
    (tmp_path / "part.csv").unlink()
    table = arrow_table(0, 4)
    with (
        pa.OSFile(str(tmp_path / "part.arrow"), "wb") as sink,
        pa.ipc.new_stream(sink, table.schema) as writer,
    ):
        writer.write_table(table)
    (problem,) = refusal(tmp_path)
    assert "arrow stream" in problem.message
    assert problem.mend is not None


def test_undeclared_columns_are_suggested(tmp_path: Path) -> None:
    write_files(tmp_path, FILES)
    with pytest.raises(DataError, match="type: vector"):
        streamed(tmp_path, {})


def test_the_plan_bounds_what_is_held() -> None:
    few = StreamOrder((100,) * 1000, 16, 50, 0)
    small = memory.plan(few, 2, 400, 9, 2**30)
    kept, one, windows = 8 * (50 + 2 * 99) * 400, 9 + 3 * 100 * 400, 3 * 8 * 50 * 400
    assert small == memory.Plan(True, 4, kept + 4 * one + windows, 0)
    assert small.size_bytes < memory.plan(few, 1, 400, 9, 2**30).size_bytes
    assert memory.plan(few, 2, 400, 9, 200_000) == memory.Plan(False, 1, one + windows, kept)
    single = StreamOrder((100,), 16, 50, 0)
    assert memory.plan(single, 2, 400, 9, 2**30).size_bytes == 100 * 400 + one + windows


def test_a_full_disk_is_told_with_what_to_do(
    parquet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "plan", lambda *_: memory.Plan(False, 1, 0, 0))
    with Path("/dev/full").open("wb", 0) as full:
        monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: full)
        (problem,) = refusal(parquet)
    assert problem.path == "data.streaming.memory_mib"
    assert "TMPDIR" in str(problem.mend)
