"""Splits of a streamed source, and what transforms learn from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from streamed_files import COLUMNS, write_files

from trainwright.data import fits
from trainwright.data.loading import Splits, load_splits
from trainwright.data.streaming.splitting import held_out_groups
from trainwright.errors import DataError
from trainwright.job.models import DataSpec

CLASSES = {"type": "class", "from": "label", "classes": ["cat", "dog", "owl"]}


def load(folder: Path, **changes: Any) -> Splits:
    spec = {"source": f"{folder}/rows/", "columns": COLUMNS, "streaming": True, **changes}
    return load_splits(DataSpec.model_validate(spec), base=folder, workers=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("splits")
    write_files(root / "rows", [[10] * 10, [10] * 10])
    write_files(root / "other", [[30]])
    return root


def ids(table: Any) -> set[int]:
    return set(table.take(torch.arange(len(table)))["sample_id"].tolist())


def test_whole_row_groups_are_held_out(folder: Path) -> None:
    splits = load(folder, validation=0.2, test={"fraction": 0.1, "seed": 3})
    assert splits.validation is not None
    assert splits.test is not None
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (140, 40, 20)
    parts = [ids(splits.train), ids(splits.validation), ids(splits.test)]
    assert set.union(*parts) == set(range(200))
    assert sum(map(len, parts)) == 200
    assert ids(load(folder, validation=0.2).validation) != ids(
        load(folder, validation={"fraction": 0.2, "seed": 1}).validation
    )


def test_a_source_of_its_own_is_streamed_too(folder: Path) -> None:
    splits = load(folder, validation={"source": f"{folder}/other"})
    assert splits.validation is not None
    assert type(splits.validation) is type(splits.train)
    assert splits.validation.columns == splits.train.columns
    assert ids(splits.validation) == set(range(30))
    assert load(folder).fingerprint != splits.fingerprint


def test_a_share_that_row_groups_cannot_give_is_refused(folder: Path) -> None:
    with pytest.raises(DataError) as caught:
        load(folder, validation=0.02)
    (problem,) = caught.value.problems
    assert problem.path == "data.validation.fraction"
    assert problem.mend is not None
    assert "source of its own" in problem.mend


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.floats(0.01, 0.9), st.integers(0))
def test_held_out_groups_come_near_the_share_and_leave_some(
    sizes: list[int], fraction: float, seed: int
) -> None:
    groups, rows = np.arange(100, 100 + len(sizes)), np.asarray(sizes)
    wanted = fraction * rows.sum()
    chosen = held_out_groups(groups, rows, wanted, seed)
    if chosen is None:
        assert rows.max() > wanted / 2 or len(sizes) == 1
        return
    assert 0 < len(chosen) < len(sizes)
    assert sorted(set(chosen.tolist())) == chosen.tolist()
    assert abs(rows[chosen - 100].sum() - wanted) <= wanted / 2


def test_transforms_learn_from_a_part_and_all_rows_are_not_asked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    splits = load(folder, transforms=[{"name": "standardize", "columns": ["features"]}])
    batch = splits.transforms(splits.train.take(torch.arange(200)), 0, training=False)
    assert batch["features"].mean(0).abs().max() < 1e-5, "all rows fit into the sample here"
    assert batch["features"].std(0, correction=0).allclose(torch.ones(3))
    monkeypatch.setattr("trainwright.data.streaming.table.SAMPLE_ROWS", 40)
    monkeypatch.setattr("trainwright.data.streaming.table.SAMPLE_GROUPS", 4)
    one, other = (
        load(folder, transforms=["standardize"]).transforms.state_dict() for _ in range(2)
    )
    assert torch.equal(
        one["standardize"]["mean"]["features"], other["standardize"]["mean"]["features"]
    )


def test_a_transform_that_needs_every_row_is_refused(folder: Path) -> None:
    columns = {"user": {**CLASSES}, "item": {**CLASSES}}
    with pytest.raises(DataError) as caught:
        load(folder, columns=columns, transforms=["random_negative"])
    (problem,) = caught.value.problems
    assert problem.path == "data.transforms.0"
    assert "every row" in problem.message


def test_named_sources_can_be_streamed_alone(folder: Path) -> None:
    named = {"source": f"{folder}/other", "columns": COLUMNS, "streaming": {"shards": 4}}
    splits = load(folder, streaming=False, sources={"more": named})
    table, _ = splits.others["more"]
    assert type(splits.train).__name__ == "Table"
    assert type(table).__name__ == "StreamedTable"


def test_a_source_beyond_memory_is_told_before_it_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    size = sum(file.stat().st_size for file in (folder / "rows").iterdir())
    memory = type("Memory", (), {"total": int(size * 1.5)})
    monkeypatch.setattr(fits.psutil, "virtual_memory", lambda: memory)
    load(folder, streaming=False)
    assert "data.streaming: true" in caplog.text
    memory.total = size // 2
    with pytest.raises(DataError, match="streaming: true"):
        load(folder, streaming=False)
    load(folder)
