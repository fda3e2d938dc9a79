from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from trainwright.data.facts import data_facts
from trainwright.data.loading import Splits, load_splits
from trainwright.data.sources import digits
from trainwright.errors import DataError, InputError, JobError, PluginError
from trainwright.job.models import DataSpec

HERE = Path(__file__).parent


def load(base: Path = HERE, workers: int = 0, seed: int = 0, **spec: Any) -> Splits:
    return load_splits(DataSpec.model_validate(spec), base=base, workers=workers, seed=seed)


def problems(error: type[InputError], base: Path = HERE, **spec: Any):
    with pytest.raises(error) as caught:
        load(base, **spec)
    return caught.value.problems


def ids(table) -> set[int]:
    return set(table.tensors["sample_id"].tolist())


def test_without_held_out_splits_everything_is_for_training() -> None:
    splits = load(source="digits")
    assert len(splits.train) == 1797
    assert splits.validation is None
    assert splits.test is None
    assert splits.columns == splits.train.columns


def test_splits_are_disjoint_exact_and_stratified() -> None:
    splits = load(source="digits", validation=0.2, test={"fraction": 0.1, "seed": 5})
    train, validation, test = ids(splits.train), ids(splits.validation), ids(splits.test)
    assert (len(train), len(validation), len(test)) == (1258, 359, 180)
    assert train | validation | test == set(range(1797))
    whole = digits().tensors["target"].bincount()
    for table, size in ((splits.validation, 359), (splits.test, 180)):
        counts = table.tensors["target"].bincount(minlength=10)
        assert (counts - whole * size / 1797).abs().max() < 1.2


def test_sample_ids_are_rows_of_the_source() -> None:
    splits = load(source="digits", validation=0.2)
    source = digits()
    for table in (splits.train, splits.validation):
        rows = table.tensors["sample_id"]
        assert (rows.diff() > 0).all()
        assert torch.equal(table.tensors["image"], source.tensors["image"][rows])


def test_splits_depend_on_their_own_seed_alone() -> None:
    base = load(source="digits", validation=0.2)
    assert ids(base.validation) == ids(load(source="digits", validation=0.2, seed=9).validation)
    other = load(source="digits", validation={"fraction": 0.2, "seed": 1})
    assert ids(base.validation) != ids(other.validation)
    with_test = {
        fraction: ids(load(source="digits", validation=fraction, test=0.1).test)
        for fraction in (0.1, 0.3)
    }
    assert with_test[0.1] == with_test[0.3], "the test split does not move with validation"


def test_without_stratification_proportions_vary() -> None:
    splits = load(source="digits", validation={"fraction": 0.2, "stratify": False})
    assert len(splits.validation) == 359
    counts = splits.validation.tensors["target"].bincount()
    whole = digits().tensors["target"].bincount() * 359 / 1797
    assert (counts - whole).abs().max() > 1.5


def test_every_class_stays_in_training(tmp_path: Path) -> None:
    labels = ["common"] * 47 + ["rare", "pair", "pair"]
    pq.write_table(pa.table({"x": np.arange(50.0), "target": labels}), tmp_path / "x.parquet")
    columns = {"x": {"type": "vector"}, "target": {"type": "class"}}
    splits = load(tmp_path, source="x.parquet", columns=columns, validation=0.4, test=0.4)
    assert splits.train.tensors["target"].unique().numel() == 3
    (problem,) = problems(DataError, tmp_path, source="x.parquet", columns=columns, validation=0.97)
    assert problem.path == "data.validation.fraction"
    assert "49 of 50 samples and with them the last sample of some class" in problem.message


def test_too_few_samples_for_a_split() -> None:
    source = {"name": "synthetic_regression", "num_samples": 20}
    (problem,) = problems(DataError, source=source, validation=0.02)
    assert problem.path == "data.validation.fraction"
    assert "less than one of 20 samples" in problem.message
    (problem,) = problems(DataError, source=source, test=0.99)
    assert "the last sample" in problem.message
    assert len(load(source=source, validation=0.3).validation) == 6


def test_proportions_of_classes_need_classes() -> None:
    (problem,) = problems(
        DataError, source="diabetes", validation={"fraction": 0.2, "stratify": True}
    )
    assert problem.path == "data.validation.stratify"


def test_a_source_of_its_own_shares_the_classes_of_training(tmp_path: Path) -> None:
    def write(name: str, labels: list[str], words: list[list[int]]) -> None:
        pq.write_table(pa.table({"y": labels, "words": words}), tmp_path / name)

    write("train.parquet", ["ant", "cat", "bee"], [[1, 2, 3, 4], [5], [9]])
    write("valid.parquet", ["cat", "cat"], [[1], [2, 3]])
    spec = {
        "source": "train.parquet",
        "columns": {"target": {"type": "class", "from": "y"}, "words": {"type": "tokens"}},
        "validation": {"source": "valid.parquet"},
    }
    splits = load(tmp_path, **spec)
    assert splits.validation.tensors["target"].tolist() == [2, 2]
    assert splits.validation.columns == splits.train.columns
    assert splits.validation.tensors["words"].shape == (2, 4)
    assert splits.validation.tensors["sample_id"].tolist() == [0, 1]

    write("valid.parquet", ["cat", "dog"], [[1, 2, 3, 4, 5], [10]])
    found = problems(DataError, tmp_path, **spec)
    assert {p.path for p in found} == {"data.columns.target", "data.columns.words"}
    assert "valid.parquet" in found[0].message
    assert found[0].got == "dog"


def test_a_dataset_of_its_own_must_have_the_same_columns() -> None:
    small = {"name": "synthetic_images", "num_samples": 5, "image_size": 8, "seed": 3}
    source = {"name": "synthetic_images", "num_samples": 30, "image_size": 8}
    splits = load(source=source, validation={"source": small})
    assert splits.validation.columns["target"].num_classes == 10
    (problem,) = problems(
        DataError, source="digits", validation={"source": {**small, "channels": 3}}
    )
    assert problem.path == "data.validation.source"
    assert "image [1, 8, 8]" in str(problem)
    assert [p.path for p in problems(DataError, source="wine", test={"source": "diabetes"})] == [
        "data.test.source",
        "data.test.source",
    ]


def test_transforms_are_fitted_to_the_training_split() -> None:
    spec = {"source": "wine", "transforms": ["standardize"], "validation": 0.3}
    splits = load(**spec)
    train = splits.transforms(splits.train.take(torch.arange(len(splits.train))), 0, False)
    assert train["features"].double().mean(0).abs().max() < 1e-5
    held = splits.transforms(splits.validation.take(torch.arange(20)), 0, False)
    assert held["features"].mean(0).abs().max() > 1e-3
    again = load(**spec)
    state, other = splits.transforms.state_dict(), again.transforms.state_dict()
    assert torch.equal(
        state["standardize"]["mean"]["features"], other["standardize"]["mean"]["features"]
    )


def test_random_transforms_follow_the_jobs_seed() -> None:
    def noisy(seed: int) -> torch.Tensor:
        spec = {"source": "digits", "transforms": [{"name": "gaussian_noise", "std": 1.0}]}
        splits = load(seed=seed, **spec)
        return splits.transforms(splits.train.take(torch.arange(4)), 0, True)["image"]

    assert torch.equal(noisy(1), noisy(1))
    assert not torch.equal(noisy(1), noisy(2))


def test_facts_come_after_the_transforms() -> None:
    transforms = [{"name": "reshape", "shape": [16, 4]}, "one_hot"]
    facts = data_facts(load(source="digits", transforms=transforms).columns, {})
    assert facts["in_features"] == 64
    assert "image_size" not in facts
    assert facts["out_features"] == 10


def test_fingerprints(tmp_path: Path) -> None:
    prints = {
        name: load(source=source, validation=held).fingerprint
        for name, source, held in [
            ("digits", "digits", None),
            ("split", "digits", 0.2),
            ("seeded", {"name": "synthetic_regression", "seed": 1}, None),
            ("other", {"name": "synthetic_regression", "seed": 2}, None),
            ("two", "digits", {"source": "digits"}),
        ]
    }
    assert prints["digits"] == prints["split"]
    assert len(set(prints.values())) == 4
    code = (
        "from pathlib import Path; from trainwright.data.loading import load_splits; "
        "from trainwright.job.models import DataSpec; "
        "print(load_splits(DataSpec(source='digits'), base=Path('.'), workers=0).fingerprint)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == prints["digits"]


USER = """
import numpy as np
from trainwright.data import Table

def rows(num: int = 10, scale: float = 1.0) -> Table:
    return Table.from_arrays(
        {"features": scale * np.arange(num * 2.0).reshape(num, 2), "target": np.arange(num) % 2},
        {"features": "vector", "target": "class"},
    )

def empty() -> Table:
    return rows(0)

def broken() -> Table:
    return {}["missing"]

def number() -> int:
    return 3

def mismatched() -> Table:
    return Table.from_arrays({"a": np.zeros(2), "b": np.zeros(3)}, {"a": "value", "b": "value"})
"""


def test_a_users_dataset_beside_the_job(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(USER)
    splits = load(tmp_path, source={"name": "mine.py:rows", "num": 6, "scale": 0.5})
    assert splits.train.tensors["features"][-1].tolist() == [5.0, 5.5]
    assert load(tmp_path, source="mine.py:rows").train.columns["target"].num_classes == 2


@pytest.mark.parametrize(
    ("source", "error", "path", "text"),
    [
        ("digit", PluginError, "data.source", "nearest: digits"),
        ({"name": "digits", "nmu": 3}, PluginError, "data.source.nmu", "no option"),
        ({"name": "mine.py:rows", "nmu": 3}, PluginError, "data.source.nmu", "nearest: num"),
        ({"name": "mine.py:rows", "num": "x"}, PluginError, "data.source.num", "'x'"),
        ("mine.py:row", PluginError, "data.source", "nearest: rows"),
        ("mine.py:empty", DataError, "data.source", "no samples"),
        ("mine.py:broken", PluginError, "data.source", "KeyError: 'missing'"),
        ("mine.py:number", DataError, "data.source", "does not return a table"),
        ("mine.py:mismatched", InputError, "data.source", "equal lengths"),
        ("folder", PluginError, "data.source", "write ./folder"),
    ],
)
def test_wrong_sources(
    tmp_path: Path, source: Any, error: type[InputError], path: str, text: str
) -> None:
    (tmp_path / "mine.py").write_text(USER)
    (tmp_path / "folder").mkdir()
    (problem,) = problems(error, tmp_path, source=source)
    assert problem.path == path
    assert text in str(problem)


def test_several_mistakes_in_columns_at_once(tmp_path: Path) -> None:
    columns = {
        "t": {"type": "tokens"},
        "t_mask": {"type": "mask"},
        "c": {"type": "class", "classes": [1, "1"]},
    }
    found = problems(DataError, tmp_path, source="x.csv", columns=columns)
    assert [p.path for p in found] == ["data.columns.t_mask", "data.columns.c.classes"]


def test_memory_is_refused_with_workers() -> None:
    with pytest.raises(JobError, match=r"cluster\.workers"):
        load(workers=1, source="memory://nothing/x.parquet")


def test_loading_is_the_same_in_another_process(tmp_path: Path) -> None:
    """What workers rely on: each loads by itself and gets the same splits."""
    code = (
        "from pathlib import Path; from trainwright.data.loading import load_splits; "
        "from trainwright.job.models import DataSpec; "
        "s = load_splits(DataSpec(source='wine', validation={'fraction': 0.3}), "
        "base=Path('.'), workers=0); print(s.train.fingerprint(), s.validation.fingerprint())"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    splits = load(source="wine", validation=0.3)
    assert out.stdout.split() == [splits.train.fingerprint(), splits.validation.fingerprint()]
