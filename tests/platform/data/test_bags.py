"""Bags, sets and shapes, against what their descriptions say; groups in files and splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from scipy import ndimage

from trainwright.data.heldout import held_out_groups
from trainwright.data.loading import load_splits
from trainwright.data.sources import (
    random_bags,
    synthetic_bags,
    synthetic_classification,
    synthetic_regression,
    synthetic_rings,
    synthetic_sets,
    synthetic_shapes,
)
from trainwright.errors import DataError
from trainwright.job.models import DataSpec


@pytest.mark.parametrize("size", [1, 5, (2, 6)])
@pytest.mark.parametrize("label", ["mean", "any"])
def test_bags_by_hand(size, label: str) -> None:
    table = synthetic_bags(num_bags=60, bag_size=size, label=label)
    assert table.columns["bag_id"].kind == "group"
    rows = {
        name: tensor.flatten().tolist()
        for name, tensor in table.tensors.items()
        if name != "features"
    }
    bags: dict[int, list[int]] = {}
    for row, bag in enumerate(rows["bag_id"]):
        bags.setdefault(bag, []).append(row)
    assert list(bags) == list(range(60))
    sizes = {len(members) for members in bags.values()}
    assert sizes == ({size} if isinstance(size, int) else set(range(2, 7)))
    for members in bags.values():
        assert members == list(range(members[0], members[-1] + 1))
        targets = [rows["target"][row] for row in members]
        expected = sum(targets) / len(targets) if label == "mean" else max(targets)
        for row in members:
            assert rows["bag_target"][row] == pytest.approx(expected, abs=1e-6)


def test_mean_bags_have_the_stated_noise_and_a_linear_target() -> None:
    table = synthetic_bags(num_bags=1000, bag_size=3, noise=0.4)
    x, y = table.tensors["features"], table.tensors["target"]
    solution = torch.linalg.lstsq(x, y).solution
    assert solution.norm().item() == pytest.approx(1, abs=0.05)
    assert (y - x @ solution).std().item() == pytest.approx(0.4, abs=0.02)


def test_any_bags_have_witnesses_in_half_of_the_bags() -> None:
    table = synthetic_bags(num_bags=400, bag_size=10, label="any", rate=0.2)
    target, bag = table.tensors["target"].double(), table.tensors["bag_id"]
    sums = torch.zeros(400, dtype=torch.float64).index_add(0, bag, target)
    assert (sums[0::2] == 0).all()
    assert (sums[1::2] > 0).all()
    assert 2.0 < sums[1::2].mean() < 3.0  # 10 * 0.2 = 2, and one at least
    first = target.reshape(400, 10)[1::2].mean(dim=0)
    assert first.max() < 0.4  # no place in the bag is special
    x = table.tensors["features"]
    shift = x[target == 1].mean(0) - x[target == 0].mean(0)
    assert shift.norm().item() == pytest.approx(2, abs=0.3)


def test_sets_are_padded_and_show_their_class() -> None:
    table = synthetic_sets(num_samples=300, set_size=(2, 9))
    features, mask, target = (table.tensors[n] for n in ("features", "mask", "target"))
    assert features.shape == (300, 9, 8)
    assert mask.sum(dim=1).unique().tolist() == list(range(2, 10))
    assert torch.equal(mask, mask.sort(dim=1, descending=True).values)
    assert (features[~mask] == 0).all()
    best = features.masked_fill(~mask[..., None], -9).amax(dim=1)[:, :3].argmax(dim=1)
    assert (best == target).float().mean() > 0.75


@pytest.mark.parametrize(
    "make",
    [synthetic_bags, synthetic_rings, synthetic_sets, synthetic_shapes],
)
def test_generated_data_is_a_function_of_its_options(make) -> None:
    assert make().fingerprint() == make().fingerprint()
    assert make().fingerprint() != make(seed=1).fingerprint()


def test_refused_options() -> None:
    with pytest.raises(ValueError, match=r"\[smallest, largest\]"):
        synthetic_bags(bag_size=(5, 2))
    with pytest.raises(ValueError, match="feature of its own"):
        synthetic_sets(num_features=2, num_classes=3)


def test_shapes_by_hand() -> None:
    table = synthetic_shapes(num_samples=40, noise=0.0)
    image, target = table.tensors["image"][:, 0], table.tensors["target"]
    assert torch.equal(image, (target > 0).float())
    assert table.columns["target"].num_classes == 3
    for index, label in enumerate(target):
        kinds = set(label.unique().tolist())
        assert kinds == {0, 1 + index % 2}
        rows, columns = (label.any(dim=d).nonzero().flatten() for d in (1, 0))
        height, width = len(rows), len(columns)
        assert height == width
        filled = int((label > 0).sum())
        assert (filled == height * width) if index % 2 else (filled < height * width)


def test_rings_by_hand() -> None:
    """As many holes as rings, which may cross; what is dim is on a ring."""
    table = synthetic_rings(num_samples=60, noise=0.0)
    image, mask = table.tensors["image"][:, 0], table.tensors["target"]
    assert table.columns["target"].kind == "mask"
    for index, (picture, ring) in enumerate(zip(image, mask, strict=True)):
        ground = np.pad(~ring.numpy(), 1, constant_values=True)
        holes = ndimage.label(ground, np.ones((3, 3)))[1] - 1
        assert holes == 1 if index % 2 == 0 else holes >= 1
        assert not ring[[0, -1]].any()
        assert not ring[:, [0, -1]].any()
        assert picture[~ring].mean() < 0.15 < 0.5 < picture[ring].mean() < 0.9
        assert 0.05 < picture[ring].min() < 0.45


def groups_of(folder: Path, values: pa.Array, **changes):
    size = len(values)
    pq.write_table(pa.table({"x": np.arange(float(size)), "bag": values}), folder / "data.parquet")
    spec = DataSpec.model_validate(
        {
            "source": "./data.parquet",
            "columns": {
                "features": {"type": "vector", "from": "x"},
                "bag_id": {"type": "group", "from": "bag"},
            },
            **changes,
        }
    )
    return load_splits(spec, base=folder, workers=0)


def test_groups_in_files(tmp_path: Path) -> None:
    numbers = groups_of(tmp_path, pa.array([7, 7, -2, 2**40])).train
    assert numbers.columns["bag_id"].kind == "group"
    assert numbers.tensors["bag_id"].tolist() == [7, 7, -2, 2**40]
    words = groups_of(tmp_path, pa.array(["b", "a", "b", "c"])).train
    assert words.tensors["bag_id"].tolist() == [0, 1, 0, 2]
    with pytest.raises(DataError, match="row 1"):
        groups_of(tmp_path, pa.array(["b", None, "b", "c"]))
    with pytest.raises(DataError, match="whole numbers"):
        groups_of(tmp_path, pa.array([0.5, 1.5]))


def test_a_group_has_no_shape_classes_or_length(tmp_path: Path) -> None:
    from trainwright.errors import JobError
    from trainwright.job import Job

    job = {
        "name": "a",
        "data": {
            "source": "a.csv",
            "columns": {"b": {"type": "group", "classes": 3, "shape": [2], "length": 4}},
        },
        "model": "mlp",
        "objective": "mse",
    }
    with pytest.raises(JobError) as caught:
        Job.from_dict(job)
    assert {p.path for p in caught.value.problems} == {
        f"data.columns.b.{key}" for key in ("classes", "shape", "length")
    }


def test_held_out_groups_are_whole_and_do_not_depend_on_the_order_of_rows() -> None:
    groups = np.repeat(np.arange(10, 30), 5)
    rows = np.arange(100)
    chosen = held_out_groups(rows, groups, 4, seed=3)
    assert len(chosen) == 20
    assert len(set(groups[chosen])) == 4
    mixed = np.random.default_rng(0).permutation(100)
    again = held_out_groups(rows[mixed], groups[mixed], 4, seed=3)
    assert np.array_equal(again, chosen)
    assert not np.array_equal(held_out_groups(rows, groups, 4, seed=4), chosen)
    for size in (0, 20):
        with pytest.raises(ValueError, match="each side needs one"):
            held_out_groups(rows, groups, size, seed=0)


def test_splits_keep_bags_whole(tmp_path: Path) -> None:
    splits = groups_of(tmp_path, pa.array(np.repeat(np.arange(20), 3)), validation=0.2, test=0.25)
    parts = [
        set(t.tensors["bag_id"].tolist()) for t in (splits.train, splits.validation, splits.test)
    ]
    assert [len(part) for part in parts] == [11, 4, 5]
    assert set.union(*parts) == set(range(20))
    with pytest.raises(DataError, match="groups are held out whole"):
        groups_of(
            tmp_path,
            pa.array(np.repeat(np.arange(20), 3)),
            validation={"fraction": 0.2, "stratify": True},
        )


def test_a_map_of_classes_is_split_without_proportions() -> None:
    spec = DataSpec.model_validate({"source": "synthetic_shapes", "validation": 0.1})
    splits = load_splits(spec, base=Path(), workers=0)
    assert (len(splits.train), len(splits.validation)) == (450, 50)


def test_random_bags_keep_the_samples_and_add_their_means() -> None:
    whole = synthetic_regression(50, num_features=3)
    table = random_bags(lambda: whole, bag_size=8, seed=1)
    assert len(table) == 48
    assert table.columns["bag_id"].kind == "group"
    assert table.tensors["bag_id"].bincount().tolist() == [8] * 6
    rows = {tuple(row) for row in whole.tensors["features"].tolist()}
    kept = [tuple(row) for row in table.tensors["features"].tolist()]
    assert len(set(kept)) == 48
    assert set(kept) <= rows
    for bag in range(6):
        own = table.tensors["bag_id"] == bag
        mean = table.tensors["target"][own].mean(0)
        expected = mean.expand(8, *mean.shape)
        torch.testing.assert_close(table.tensors["bag_target"][own], expected)
    other = random_bags(lambda: whole, bag_size=8, seed=2)
    assert not torch.equal(other.tensors["features"], table.tensors["features"])


def test_random_bags_of_classes_have_their_shares() -> None:
    table = random_bags(lambda: synthetic_classification(40, num_classes=3), bag_size=5)
    assert table.columns["bag_target"].shape == (3,)
    own = table.tensors["bag_id"] == 2
    shares = table.tensors["target"][own].bincount(minlength=3) / 5
    torch.testing.assert_close(table.tensors["bag_target"][own], shares.expand(5, 3))


def test_ill_random_bags() -> None:
    with pytest.raises(ValueError, match="bag_size is 60, and there are 50 samples"):
        random_bags(lambda: synthetic_regression(50), bag_size=60)
    with pytest.raises(ValueError, match="no column 'targte'; nearest: target"):
        random_bags(lambda: synthetic_regression(50), column="targte")
