"""Declared columns over every file format, and values that are not as declared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pytest
import torch
from column_files import LISTS, PIXELS, encoded, load, np_half, read, save
from hypothesis import given
from hypothesis import strategies as st

from trainwright.data import Column
from trainwright.data.files import arrays


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
