"""Finding files, damaged files, suggestions, fingerprints."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from fsspec.registry import known_implementations

from trainwright.data.files import fingerprint as fingerprint_module
from trainwright.data.files.declarations import check_columns
from trainwright.data.files.fingerprint import fingerprint_files
from trainwright.data.files.loading import load_table
from trainwright.data.files.location import find_files
from trainwright.errors import DataError, JobError
from trainwright.job.models import ColumnSpec, DataSpec

TABLE = pa.table({"a": np.arange(20.0), "b": np.arange(20) % 3})
COLUMNS = {"a": ColumnSpec(type="value"), "b": ColumnSpec(type="class")}


def find(folder: Path, source: str, format: str = "auto", workers: int = 0):
    return find_files(source, format, folder, "data.source", workers)


def refused(folder: Path, source: str, **options: Any):
    with pytest.raises(DataError) as caught:
        find(folder, source, **options)
    (problem,) = caught.value.problems
    assert problem.path == "data.source"
    return problem


def test_files_come_in_the_order_of_their_paths(tmp_path: Path) -> None:
    for name in (
        "b/2.parquet",
        "a/9.parquet",
        "b/1.PQ",
        "_tmp/x.parquet",
        "a/.hid.parquet",
        "README",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        pq.write_table(TABLE, tmp_path / name)
    names = [Path(f.path).relative_to(tmp_path).as_posix() for f in find(tmp_path, "./")]
    assert names == ["a/9.parquet", "b/1.PQ", "b/2.parquet"]
    assert [Path(f.path).name for f in find(tmp_path, "b/*")] == ["1.PQ", "2.parquet"]
    assert [Path(f.path).name for f in find(tmp_path, str(tmp_path / "a"))] == ["9.parquet"]
    assert len(find(Path("/"), f"file://{tmp_path}/**/*.parquet")) == 4


def test_a_name_with_glob_signs_that_exists_is_that_file(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "part[1].parquet")
    assert len(find(tmp_path, "part[1].parquet")) == 1


def test_format_of_unusual_endings(tmp_path: Path) -> None:
    (tmp_path / "rows.txt").write_text("a,b\n1,2\n")
    problem = refused(tmp_path, "./rows.txt")
    assert "no file of a known format" in problem.message
    assert "data.format" in str(problem)
    (file,) = find(tmp_path, "rows.txt", format="csv")
    assert load_table([file], {"a": COLUMNS["a"]}, "data.source").tensors["a"].tolist() == [[1]]


def test_missing_files_folders_and_globs(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "train.parquet")
    problem = refused(tmp_path, "trian.parquet")
    assert problem.nearest == "train.parquet"
    assert "train.parquet" in (problem.allowed or "")
    assert "no file matches" in refused(tmp_path, "*.csv").message
    assert "there is no file" in refused(tmp_path, "nowhere/x.csv").message
    (tmp_path / "empty").mkdir()
    assert "there is no file" in refused(tmp_path, "./empty").message


def test_unknown_protocol_and_missing_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Protocol not known" in refused(tmp_path, "s33://bucket/x.csv").message
    entry = {"class": "not_there.FileSystem", "err": "install not_there"}
    monkeypatch.setitem(known_implementations, "absent", entry)
    problem = refused(tmp_path, "absent://x.csv")
    assert "install not_there" in problem.message
    assert "pip install" in (problem.mend or "")


def test_memory_is_for_one_process(tmp_path: Path) -> None:
    fs = fsspec.filesystem("memory")
    with fs.open("/only-here/x.parquet", "wb") as file:
        pq.write_table(TABLE, file)
    (file,) = find(tmp_path, "memory://only-here")
    assert len(load_table([file], COLUMNS, "data.source")) == 20
    with pytest.raises(JobError) as caught:
        find(tmp_path, "memory://only-here", workers=2)
    assert "file://" in str(caught.value)
    assert "s3://" in str(caught.value)
    fs.rm("/only-here", recursive=True)


def damaged(folder: Path, change) -> DataError:
    path = folder / "x.parquet"
    options = {"row_group_size": 10, "write_page_checksum": True, "use_dictionary": False}
    pq.write_table(TABLE, path, compression="none", **options)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError) as caught:
        load_table(find(folder, "x.parquet"), COLUMNS, "data.source")
    assert caught.value.problems[0].path == "data.source"
    assert str(path) in str(caught.value)
    return caught.value


@pytest.mark.parametrize("keep", [0, 3, 100, -1])
def test_parquet_that_is_cut_off(tmp_path: Path, keep: int) -> None:
    text = str(damaged(tmp_path, lambda content: content[:keep]))
    assert "its footer" in text
    assert "damaged, cut off" in text


def test_parquet_with_a_flipped_byte_names_row_group_and_column(tmp_path: Path) -> None:
    def flip(content: bytes) -> bytes:
        chunk = pq.ParquetFile(pa.BufferReader(content)).metadata.row_group(1).column(1)
        place = chunk.data_page_offset + chunk.total_compressed_size // 2
        return content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]

    assert "(row group 1, column 'b')" in str(damaged(tmp_path, flip))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.arrow", b"ARROW1 and then nothing"),
        ("x.arrow", b"neither file nor stream"),
        ("x.feather", b""),
        ("x.csv", b""),
        ("x.csv", b"a,b\n1,2\n3\n"),
        ("x.csv", b"a,a\n1,2\n"),
        ("x.csv", b"a,b\n1,\xff\xfe\x00\n"),
    ],
)
def test_other_damaged_files(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=name.replace(".", r"\.")):
        load_table(find(tmp_path, name), COLUMNS, "data.source")


def test_files_without_rows(tmp_path: Path) -> None:
    pq.write_table(TABLE.slice(0, 0), tmp_path / "x.parquet")
    with pytest.raises(DataError, match="has no rows"):
        load_table(find(tmp_path, "x.parquet"), COLUMNS, "data.source")


def test_missing_columns_are_all_named_with_the_nearest(tmp_path: Path) -> None:
    pq.write_table(TABLE.rename_columns(["feature", "label"]), tmp_path / "x.parquet")
    pq.write_table(TABLE.rename_columns(["other", "label"]), tmp_path / "y.parquet")
    columns = {
        "v": ColumnSpec.model_validate({"type": "vector", "from": ["feature", "featur"]}),
        "labl": ColumnSpec(type="class"),
    }
    with pytest.raises(DataError) as caught:
        load_table(find(tmp_path, "./"), columns, "data.source")
    found = [(p.path, p.got, p.nearest) for p in caught.value.problems]
    assert found == [
        ("data.columns.v.from", "feature", None),
        ("data.columns.v.from", "featur", "feature"),
        ("data.columns.labl", "labl", "label"),
    ]
    assert "y.parquet" in caught.value.problems[0].message


def test_undeclared_columns_get_a_suggestion_that_works(tmp_path: Path) -> None:
    rows = {
        "width": [1.0, 2.0],
        "height": [3, 4],
        "picture": [[1, 2, 3]] * 2,
        "a name": [True, False],
        "label": ["x", "y"],
    }
    table = pa.table(
        rows,
        schema=pa.schema(
            {
                "width": pa.float64(),
                "height": pa.int32(),
                "picture": pa.list_(pa.float32()),
                "a name": pa.bool_(),
                "label": pa.string(),
            }
        ),
    )
    pq.write_table(table, tmp_path / "x.parquet")
    files = find(tmp_path, "x.parquet")
    with pytest.raises(DataError) as caught:
        load_table(files, {}, "data.source")
    (problem,) = caught.value.problems
    assert problem.path == "data.columns"
    assert "width: double, height: int32" in problem.message
    block = yaml.safe_load((problem.mend or "").split("for example")[1])
    spec = DataSpec.model_validate({"source": "x.parquet", **block["data"]})
    loaded = load_table(files, spec.columns, "data.source")
    assert set(loaded.columns) == {"features", "picture", "target", "sample_id"}
    assert loaded.tensors["features"].tolist() == [[1, 3, 1], [2, 4, 0]]
    assert loaded.columns["target"].labels == ("x", "y")


@pytest.mark.parametrize(
    ("columns", "path"),
    [
        ({"t": {"type": "tokens"}, "t_mask": {"type": "mask"}}, "data.columns.t_mask"),
        ({"c": {"type": "class", "from": ["a", "b"]}}, "data.columns.c.from"),
        ({"c": {"type": "class", "classes": ["a", "b", "a"]}}, "data.columns.c.classes"),
        ({"c": {"type": "class", "classes": [1, "1"]}}, "data.columns.c.classes"),
    ],
)
def test_declarations_that_cannot_be(columns: dict[str, Any], path: str) -> None:
    specs = {name: ColumnSpec.model_validate(spec) for name, spec in columns.items()}
    assert [problem.path for problem in check_columns(specs)] == [path]


def test_right_declarations_pass() -> None:
    columns = {
        "i": {"type": "image", "shape": [1, 8, 8], "from": "image"},
        "v": {"type": "vector", "from": ["a", "b"], "shape": [2]},
        "c": {"type": "class", "classes": ["a", "b"], "from": ["label"]},
        "t": {"type": "tokens", "classes": 100, "length": 7},
        "m": {"type": "mask", "length": 7},
    }
    assert not check_columns({n: ColumnSpec.model_validate(s) for n, s in columns.items()})


def test_fingerprint_follows_content_not_names_or_times(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for part in range(2):
            pq.write_table(TABLE.slice(part), tmp_path / name / f"{name}{part}.parquet")
    os.utime(tmp_path / "a" / "a0.parquet", (1, 1))
    first, second = (fingerprint_files(find(tmp_path, f"./{name}")) for name in "ab")
    assert first == second
    path = tmp_path / "a" / "a1.parquet"
    content = bytearray(path.read_bytes())
    content[20] ^= 1
    path.write_bytes(content)
    assert fingerprint_files(find(tmp_path, "./a")) != first
    path.unlink()
    assert fingerprint_files(find(tmp_path, "./a")) not in (first, "")


def test_large_sources_are_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint_module, "_WHOLE", 1000)
    monkeypatch.setattr(fingerprint_module, "_BLOCK", 100)
    path = tmp_path / "x.csv"

    def print_of(content: bytes, time: int = 5) -> str:
        path.write_bytes(content)
        os.utime(path, (time, time))
        return fingerprint_files(find(tmp_path, "x.csv"))

    base = bytes(50_000)
    assert print_of(base) == print_of(base)
    assert print_of(base) != print_of(base + b"\0")
    assert print_of(base) != print_of(b"x" + base[1:])
    assert print_of(base) != print_of(base[:-1] + b"x")
    middle = bytearray(base)
    middle[24_900:25_200] = b"y" * 300
    assert print_of(base) == print_of(bytes(middle)), "a change between the blocks is not seen"
    assert print_of(base) != print_of(bytes(middle), time=6), "but the time of change is"
