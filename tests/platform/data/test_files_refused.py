"""Columns that are not as declared: refused with file, row and column."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pytest
from column_files import encoded, load, refused, save

from trainwright.errors import DataError

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
