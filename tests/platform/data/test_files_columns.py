"""Declared columns over every file format, and values that are not as declared."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from trainwright.data import Column, Table
from trainwright.data.files import arrays
from trainwright.data.files.loading import load_table
from trainwright.data.files.location import find_files
from trainwright.errors import DataError, Problem
from trainwright.job.models import ColumnSpec


def specs(columns: dict[str, Any]) -> dict[str, ColumnSpec]:
    return {name: ColumnSpec.model_validate(spec) for name, spec in columns.items()}


def load(folder: Path, columns: dict[str, Any], like: Table | None = None) -> Table:
    files = find_files("./", "auto", folder, "data.source")
    return load_table(files, specs(columns), "data.source", like)


def save(table: pa.Table, folder: Path, ending: str = "parquet", name: str = "part") -> Path:
    path = folder / f"{name}.{ending}"
    if ending == "csv":
        pyarrow.csv.write_csv(table, path)
    elif ending == "stream.arrow":
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    elif ending == "parquet":
        pq.write_table(table, path, row_group_size=4)
    else:
        pyarrow.feather.write_feather(table, path)
    return path


def read(folder: Path, data: dict[str, Any], column: dict[str, Any]) -> Table:
    save(pa.table(data), folder)
    return load(folder, {"c": column})


def refused(folder: Path, data: dict[str, Any], column: dict[str, Any]) -> Problem:
    with pytest.raises(DataError) as caught:
        read(folder, data, column)
    (problem,) = caught.value.problems
    assert problem.path.startswith("data.columns.c")
    return problem


@pytest.mark.parametrize("ending", ["parquet", "pq", "arrow", "feather", "stream.arrow", "csv"])
def test_formats(tmp_path: Path, ending: str) -> None:
    data = {"a": [0.5, 1.5, 2.5], "b": [1, 2, 3], "y": ["dog", "cat", "dog"]}
    save(pa.table(data), tmp_path, "parquet" if ending == "pq" else ending)
    if ending == "pq":
        (tmp_path / "part.parquet").rename(tmp_path / "part.pq")
    table = load(
        tmp_path,
        {"x": {"type": "vector", "from": ["b", "a"]}, "t": {"type": "class", "from": "y"}},
    )
    assert table.tensors["x"].tolist() == [[1, 0.5], [2, 1.5], [3, 2.5]]
    assert table.tensors["t"].tolist() == [1, 0, 1]
    assert table.columns["t"] == Column("class", (), torch.int64, 2, ("cat", "dog"))
    assert table.tensors["sample_id"].tolist() == [0, 1, 2]


LISTS = [[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.float64()),
        pa.list_(pa.float32(), 4),
        pa.large_list(pa.int16()),
        pa.list_(pa.float16()),
        pa.list_(pa.uint8()),
    ],
)
def test_vectors_from_lists(tmp_path: Path, kind: pa.DataType) -> None:
    data = pa.array(LISTS).cast(kind) if "half" not in str(kind) else np_half()
    table = read(tmp_path, {"c": data}, {"type": "vector"})
    assert table.columns["c"] == Column("vector", (4,), torch.float32)
    assert table.tensors["c"].tolist() == LISTS
    shaped = load(tmp_path, {"c": {"type": "vector", "shape": [2, 2]}})
    assert shaped.tensors["c"].shape == (2, 2, 2)


def np_half() -> pa.Array:
    return pa.array([np.array(row, np.float16) for row in LISTS], pa.list_(pa.float16()))


def test_values(tmp_path: Path) -> None:
    data = {
        "c": [1, 2, 3],
        "d": [True, False, True],
        "e": pa.array(["1.5", "2", "3"]).cast(pa.decimal128(5, 2)),
    }
    table = read(tmp_path, data, {"type": "value"})
    assert table.columns["c"] == Column("value", (1,), torch.float32)
    table = load(
        tmp_path,
        {"c": {"type": "value", "shape": []}, "w": {"type": "value", "from": ["c", "d", "e"]}},
    )
    assert table.tensors["c"].tolist() == [1, 2, 3]
    assert table.tensors["w"].tolist() == [[1, 1, 1.5], [2, 0, 2], [3, 1, 3]]


PIXELS = np.random.default_rng(0).integers(0, 256, (5, 3, 4, 2), dtype=np.uint8)


def encoded(kind: str, mode: str = "RGB") -> list[bytes]:
    files = []
    for image in PIXELS:
        sink = io.BytesIO()
        Image.fromarray(image.transpose(1, 2, 0)).convert(mode).save(sink, kind)
        files.append(sink.getvalue())
    return files


IMAGES = {
    "flat list": pa.array(list(PIXELS.reshape(5, -1)), pa.list_(pa.uint8())),
    "fixed list": pa.array(list(PIXELS.reshape(5, -1)), pa.list_(pa.uint8(), 24)),
    "nested list": pa.array(PIXELS.tolist(), pa.list_(pa.list_(pa.list_(pa.uint8())))),
    "bytes": pa.array([image.tobytes() for image in PIXELS]),
    "large bytes": pa.array([image.tobytes() for image in PIXELS], pa.large_binary()),
    "fixed bytes": pa.array([image.tobytes() for image in PIXELS], pa.binary(24)),
    "png": pa.array(encoded("PNG")),
    "struct": pa.array([{"bytes": b, "path": "x"} for b in encoded("PNG")]),
}


@pytest.mark.parametrize("form", IMAGES)
def test_images_of_bytes(tmp_path: Path, form: str) -> None:
    table = read(tmp_path, {"c": IMAGES[form]}, {"type": "image", "shape": [3, 4, 2]})
    assert table.columns["c"] == Column("image", (3, 4, 2), torch.float32)
    np.testing.assert_array_equal(table.tensors["c"].numpy(), PIXELS)
    given = table.take(torch.tensor([4]))["c"]
    np.testing.assert_array_equal(given[0].numpy(), PIXELS[4].astype(np.float32) / np.float32(255))


def test_images_of_other_numbers_are_taken_as_they_are(tmp_path: Path) -> None:
    table = read(tmp_path, {"c": PIXELS.astype(np.int64).tolist()}, {"type": "image"})
    assert table.take(torch.arange(5))["c"].equal(torch.from_numpy(PIXELS).float())


def test_jpeg_is_decoded_to_the_declared_channels(tmp_path: Path) -> None:
    table = read(tmp_path, {"c": encoded("JPEG")}, {"type": "image", "shape": [1, 4, 2]})
    grey = PIXELS.astype(float).transpose(0, 2, 3, 1) @ [0.299, 0.587, 0.114]
    assert np.abs(table.tensors["c"].numpy()[:, 0] - grey).mean() < 40  # JPEG loses detail
    assert table.tensors["c"].shape == (5, 1, 4, 2)


@pytest.mark.parametrize(
    ("values", "classes", "indices", "labels", "count"),
    [
        ([2, 0, 1, 0], None, [2, 0, 1, 0], None, 3),
        ([2, 0, 1, 0], 5, [2, 0, 1, 0], None, 5),
        ([7, 3, 7], None, [1, 0, 1], (3, 7), 2),
        (["b", "a"], None, [1, 0], ("a", "b"), 2),
        (["b", "a"], ["b", "c", "a"], [0, 2], ("b", "c", "a"), 3),
        ([30, 10], [10, 20, 30], [2, 0], (10, 20, 30), 3),
        ([30, 10], ["10", "30"], [1, 0], ("10", "30"), 2),
        (["30", "10"], [10, 30], [1, 0], (10, 30), 2),
        ([True, False, True], None, [1, 0, 1], None, 2),
        ([True, True], None, [1, 1], None, 2),
    ],
)
def test_classes(tmp_path: Path, values, classes, indices, labels, count) -> None:
    table = read(tmp_path, {"c": values}, {"type": "class", "classes": classes})
    assert table.tensors["c"].tolist() == indices
    assert table.columns["c"] == Column("class", (), torch.int64, count, labels)


def test_dictionary_encoded_classes_over_several_files(tmp_path: Path) -> None:
    for name, values in (("a", ["x", "y"]), ("b", ["z", "x"])):
        save(pa.table({"c": pa.array(values).dictionary_encode()}), tmp_path, name=name)
    table = load(tmp_path, {"c": {"type": "class"}})
    assert table.tensors["c"].tolist() == [0, 1, 2, 0]
    assert table.columns["c"].labels == ("x", "y", "z")


def test_tokens_are_padded_with_a_mask(tmp_path: Path) -> None:
    table = read(tmp_path, {"c": [[5, 1, 2], [7], [4, 4]]}, {"type": "tokens"})
    assert table.tensors["c"].tolist() == [[5, 1, 2], [7, 0, 0], [4, 4, 0]]
    assert table.tensors["c_mask"].tolist() == [
        [True, True, True],
        [True, False, False],
        [True, True, False],
    ]
    assert table.columns["c"] == Column("tokens", (3,), torch.int64, 8)
    assert table.columns["c_mask"] == Column("mask", (3,), torch.bool)
    cut = load(tmp_path, {"c": {"type": "tokens", "length": 2, "classes": 100}})
    assert cut.tensors["c"].tolist() == [[5, 1], [7, 0], [4, 4]]
    assert cut.columns["c"].num_classes == 100
    longer = load(tmp_path, {"c": {"type": "tokens", "length": 5}})
    assert longer.tensors["c"].shape == (3, 5)


@given(
    rows=st.lists(st.lists(st.integers(0, 99), max_size=6), min_size=1, max_size=20),
    length=st.integers(1, 8),
)
def test_padding_equals_a_loop(rows: list[list[int]], length: int) -> None:
    values = np.array([v for row in rows for v in row], dtype=np.int64)
    padded, mask = arrays.pad(values, np.array([len(row) for row in rows]), length)
    for index, row in enumerate(rows):
        cut = row[:length]
        assert padded[index].tolist() == cut + [0] * (length - len(cut))
        assert mask[index].tolist() == [True] * len(cut) + [False] * (length - len(cut))


def test_masks(tmp_path: Path) -> None:
    data = {"c": [1, 0, 1], "d": [[True], [True, False], [False]]}
    table = read(tmp_path, data, {"type": "mask"})
    assert table.tensors["c"].tolist() == [True, False, True]
    table = load(tmp_path, {"d": {"type": "mask", "length": 2}})
    assert table.tensors["d"].tolist() == [[True, False], [True, False], [False, False]]


FLOATS = [1.0, 2.0, 3.0, 4.0, 5.0]


@pytest.mark.parametrize(
    ("data", "column", "row", "text"),
    [
        ([*FLOATS, None], {"type": "value"}, 5, "is null"),
        ([*FLOATS, float("nan")], {"type": "value"}, 5, "NaN"),
        ([*FLOATS, float("inf")], {"type": "vector"}, 5, "infinite"),
        ([*FLOATS, 1e300], {"type": "vector"}, 5, "too large"),
        ([[1.0], [1.0], [1.0, 2.0]], {"type": "vector"}, 2, r"another length (2) than"),
        ([[1.0, 2.0], [1.0, None]], {"type": "vector"}, 1, "is null"),
        ([[1.0], None], {"type": "vector"}, 1, "is null"),
        ([[[1], [2]], [[1], [2, 3]]], {"type": "vector"}, 1, "another length"),
        (["1", "2", "x3"], {"type": "value"}, 2, "text where a number"),
        ([0, 1, 2, 3, 4, 7], {"type": "class", "classes": 5}, 5, "does not exist"),
        ([0, -1], {"type": "class", "classes": 5}, 1, "does not exist"),
        ([0, 1, None], {"type": "class"}, 2, "is null"),
        (["a", None], {"type": "class"}, 1, "is null"),
        (["a", "bird"], {"type": "class", "classes": ["a", "birds"]}, 1, "does not exist"),
        ([[1], [2], []], {"type": "tokens"}, 2, "empty list"),
        ([[1], [2, -3]], {"type": "tokens"}, 1, "token that does not exist"),
        ([[1], [2, 30], [4]], {"type": "tokens", "classes": 30}, 1, "token that does not"),
        ([[1], [2, None], [4]], {"type": "tokens"}, 1, "is null"),
        ([1, 0, 2], {"type": "mask"}, 2, "neither true or false nor"),
        ([b"12", b"1"], {"type": "image", "shape": [1, 1, 2]}, 1, "has 1 numbers per row"),
        ([b"12", None], {"type": "image", "shape": [1, 1, 2]}, 1, "is null"),
        ([b"\x89PNG damaged"], {"type": "image", "shape": [1, 1, 2]}, 0, "no PNG or JPEG"),
        (encoded("PNG"), {"type": "image", "shape": [3, 2, 4]}, 0, "image of 4x2 pixels"),
    ],
)
def test_wrong_values_name_file_row_and_column(tmp_path: Path, data, column, row, text) -> None:
    problem = refused(tmp_path, {"c": data}, column)
    assert f"{tmp_path}/part.parquet, row {row} (from 0, row group {row // 4})" in problem.message
    assert "column 'c'" in problem.message
    assert text in problem.message


@pytest.mark.parametrize(
    ("data", "column", "text"),
    [
        ([pa.scalar(0, pa.timestamp("s")).as_py()], {"type": "value"}, "of type timestamp"),
        ([1.5], {"type": "class"}, "of type double"),
        ([3], {"type": "tokens"}, "of type int64"),
        ([[1.5]], {"type": "tokens"}, "not whole"),
        ([[1, 2]], {"type": "vector", "shape": [3]}, "shape [3] needs 3"),
        ([[1, 2]], {"type": "image", "shape": [1, 1, 3]}, "needs 3"),
        ([[1, 2]], {"type": "image"}, "needs its shape"),
        ([b"ab"], {"type": "image"}, "needs its shape"),
        (["1", "2"], {"type": "value"}, "is of type string"),
        (encoded("PNG"), {"type": "image", "shape": [2, 4, 2]}, "1, 3 or 4 channels"),
    ],
)
def test_wrong_types_and_shapes(tmp_path: Path, data, column, text) -> None:
    problem = refused(tmp_path, {"c": data}, column)
    assert text in str(problem)
    assert "part.parquet" in problem.message


def test_nearest_label_is_suggested(tmp_path: Path) -> None:
    column = {"type": "class", "classes": ["plane", "automobile"]}
    problem = refused(tmp_path, {"c": ["plane", "automobil"]}, column)
    assert problem.got == "automobil"
    assert problem.nearest == "automobile"


def test_text_for_a_number_of_classes(tmp_path: Path) -> None:
    problem = refused(tmp_path, {"c": ["a", "b"]}, {"type": "class", "classes": 2})
    assert "holds text" in problem.message


def test_the_row_is_counted_in_its_own_file(tmp_path: Path) -> None:
    for name, values in (("a", [0.0] * 9), ("b", []), ("c", [0.0] * 5 + [float("nan")])):
        save(pa.table({"c": pa.array(values, pa.float64())}), tmp_path, name=name)
    with pytest.raises(DataError, match=r"c\.parquet, row 5 \(from 0, row group 1\)"):
        load(tmp_path, {"c": {"type": "value"}})


def test_csv_types_are_inferred_from_all_rows(tmp_path: Path) -> None:
    lines = ["c,t", *("1,2" for _ in range(300_000)), "1.5,2", "7,word"]
    (tmp_path / "long.csv").write_text("\n".join(lines) + "\n")
    table = load(tmp_path, {"c": {"type": "value"}})
    assert table.tensors["c"][-2:].flatten().tolist() == [1.5, 7.0]
    with pytest.raises(DataError, match=r"long\.csv, row 300001 \(from 0\): column 't' is text"):
        load(tmp_path, {"t": {"type": "value"}})


def test_several_wrong_columns_are_reported_at_once(tmp_path: Path) -> None:
    save(pa.table({"a": [1.0, None], "b": ["x", "y"], "c": [0, 5]}), tmp_path)
    with pytest.raises(DataError) as caught:
        load(
            tmp_path,
            {
                "a": {"type": "value"},
                "v": {"type": "vector", "from": ["c", "b"]},
                "c": {"type": "class", "classes": 3},
            },
        )
    problems = {p.path: p.message for p in caught.value.problems}
    assert set(problems) == {"data.columns.a", "data.columns.v", "data.columns.c"}
    assert "column 'b'" in problems["data.columns.v"]


def test_types_that_differ_between_files(tmp_path: Path) -> None:
    save(pa.table({"c": [1, 2]}), tmp_path, name="a")
    save(pa.table({"c": [0.5]}), tmp_path, name="b")
    assert load(tmp_path, {"c": {"type": "value"}}).tensors["c"].flatten().tolist() == [1, 2, 0.5]
    save(pa.table({"c": ["x"]}), tmp_path, name="d")
    with pytest.raises(DataError, match=r"int64 in .*a\.parquet.*string in .*d\.parquet"):
        load(tmp_path, {"c": {"type": "value"}})


def test_lists_of_another_length_in_a_later_file(tmp_path: Path) -> None:
    save(pa.table({"c": [[1, 2]]}), tmp_path, name="a")
    save(pa.table({"c": [[1, 2, 3]]}), tmp_path, name="b")
    with pytest.raises(DataError, match=r"b\.parquet, row 0 .*another length \(3\)"):
        load(tmp_path, {"c": {"type": "vector"}})


def test_names_with_points_and_spaces(tmp_path: Path) -> None:
    save(pa.table({"a.b": [1.0], "a": [2.0], "x y": [3.0]}), tmp_path)
    table = load(tmp_path, {"v": {"type": "vector", "from": ["a.b", "a", "x y"]}})
    assert table.tensors["v"].tolist() == [[1, 2, 3]]
