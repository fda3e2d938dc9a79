from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from trainwright.data import Column, Table


def table(n: int = 6) -> Table:
    return Table.from_arrays(
        {"x": np.arange(n * 2.0).reshape(n, 2), "target": np.arange(n) % 3, "y": np.arange(n)},
        {"x": "vector", "target": "class", "y": "value"},
        labels={"target": ["a", "b", "c"]},
    )


def test_from_arrays_derives_the_columns() -> None:
    t = table()
    assert len(t) == 6
    assert t.columns["x"] == Column("vector", (2,), torch.float32)
    assert t.columns["y"] == Column("value", (1,), torch.float32)
    assert t.columns["target"] == Column("class", (), torch.int64, 3, ("a", "b", "c"))
    assert t.columns["sample_id"] == Column("id", (), torch.int64)
    assert "x: vector [2]" in repr(t)
    assert "target: class [] of 3 classes" in repr(t)


def test_take_gives_fresh_tensors_in_the_order_asked_for() -> None:
    t = table()
    batch = t.take(torch.tensor([4, 0, 4]))
    assert batch["sample_id"].tolist() == [4, 0, 4]
    assert batch["x"].tolist() == [[8, 9], [0, 1], [8, 9]]
    batch["x"].zero_()
    assert t.take(torch.tensor([4]))["x"].tolist() == [[8, 9]]


def test_bytes_are_stored_as_bytes_and_given_as_fractions() -> None:
    images = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4)
    t = Table.from_arrays({"image": images}, {"image": "image"})
    assert t.tensors["image"].dtype == torch.uint8
    assert t.columns["image"].dtype == torch.float32
    given = t.take(torch.tensor([1]))["image"]
    assert given.dtype == torch.float32
    np.testing.assert_array_equal(given.numpy(), images[1:].astype(np.float32) / np.float32(255))


def test_a_subset_keeps_the_sample_ids() -> None:
    part = table().subset(torch.tensor([5, 2]))
    assert len(part) == 2
    assert part.tensors["sample_id"].tolist() == [5, 2]
    assert part.subset(torch.tensor([1])).tensors["sample_id"].tolist() == [2]


def test_a_pickled_table_holds_its_columns_once() -> None:
    t = Table.from_arrays({"x": np.zeros((1000, 100))}, {"x": "vector"})
    t.take(torch.arange(3))
    pickled = pickle.dumps(t)
    assert len(pickled) < 1.5 * 4 * 1000 * 100
    assert pickle.loads(pickled).fingerprint() == t.fingerprint()


def test_chunks_cover_all_rows() -> None:
    assert [chunk.tolist() for chunk in table(5).chunks(2)] == [[0, 1], [2, 3], [4]]


def test_the_fingerprint_follows_the_content() -> None:
    base = table()
    assert base.fingerprint() == table().fingerprint()
    assert len(base.fingerprint()) == 32
    changed = {name: tensor.clone() for name, tensor in base.tensors.items()}
    changed["x"][3, 1] += 1e-6
    others = [
        Table(base.columns, changed),
        base.subset(torch.arange(5)),
        base.subset(torch.tensor([1, 0, 2, 3, 4, 5])),
        Table.from_arrays({"x": base.tensors["x"]}, {"x": "vector"}),
        Table.from_arrays({"z": base.tensors["x"]}, {"z": "vector"}),
    ]
    prints = {base.fingerprint(), *(other.fingerprint() for other in others)}
    assert len(prints) == 6


VECTOR = Column("vector", (2,), torch.float32)


@pytest.mark.parametrize(
    ("columns", "tensors", "message"),
    [
        ({"x": VECTOR}, {}, "columns"),
        ({"x": VECTOR, "y": VECTOR}, {"x": torch.zeros(2, 2), "y": torch.zeros(3, 2)}, "lengths"),
        ({"x": VECTOR}, {"x": torch.zeros(2, 3)}, r"declared \(2,\), got \(3,\)"),
        ({"x": VECTOR}, {"x": torch.zeros(2, 2, dtype=torch.float64)}, "got torch.float64"),
        ({"x": Column("vector", (), torch.int64)}, {"x": torch.arange(2)}, "must be torch.float32"),
        ({"x": Column("class", (), torch.int64)}, {"x": torch.arange(2)}, "needs num_classes"),
        ({"x": Column("class", (), torch.int64, 2)}, {"x": torch.arange(3)}, "got 0 to 2"),
        (
            {"sample_id": Column("value", (), torch.float32)},
            {"sample_id": torch.zeros(2)},
            "reserved",
        ),
        ({"x": Column("image", (4,), torch.float32)}, {"x": torch.zeros(1, 4)}, "channels"),
    ],
)
def test_what_does_not_fit_together_is_refused(columns, tensors, message) -> None:
    with pytest.raises(ValueError, match=message):
        Table(columns, tensors)


def test_from_arrays_refuses_missing_and_unknown_kinds() -> None:
    with pytest.raises(ValueError, match="only in one"):
        Table.from_arrays({"x": np.zeros(2)}, {})
    with pytest.raises(ValueError, match="'picture' is none of"):
        Table.from_arrays({"x": np.zeros(2)}, {"x": "picture"})


def test_tensors_become_contiguous_and_detached() -> None:
    x = torch.zeros(2, 3, requires_grad=True).t()
    stored = Table.from_arrays({"x": x}, {"x": "vector"}).tensors["x"]
    assert stored.is_contiguous()
    assert not stored.requires_grad
