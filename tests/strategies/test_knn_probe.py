"""Votes of nearest neighbours against slow loops, and the bank of clean training samples."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import pytest
import torch
from torch.nn import functional

from trainwright.testing import Case, Rig, Setup
from trainwright_strategies.knn_probe import KnnProbe, knn_classes


@pytest.mark.parametrize(
    ("num_neighbors", "temperature"), [(1, 0.07), (5, 0.07), (9, 1.0), (99, 0.1)]
)
def test_votes_equal_slow_loops(num_neighbors: int, temperature: float) -> None:
    generator = torch.Generator().manual_seed(num_neighbors)
    queries, bank = (
        functional.normalize(torch.randn(n, 3, generator=generator), dim=1) for n in (20, 30)
    )
    labels = torch.randint(4, (30,), generator=generator)
    found = knn_classes(queries, bank, labels, num_neighbors, temperature)
    for query, answer in zip(queries, found.tolist(), strict=True):
        ranked = sorted(((float(query @ b), int(c)) for b, c in zip(bank, labels, strict=True)))
        votes: dict[int, float] = defaultdict(float)
        for similarity, label in ranked[-num_neighbors:]:
            votes[label] += math.exp(similarity / temperature)
        assert answer == max(votes, key=lambda c: votes[c])


def test_small_temperatures_do_not_overflow() -> None:
    bank = torch.eye(2)
    assert knn_classes(bank, bank, torch.tensor([1, 0]), 2, 1e-3).tolist() == [1, 0]


def _job(**options: Any) -> dict[str, Any]:
    case = Case("strategies", "knn_probe", options)
    job = case.job_with(case.options)
    noise = {"name": "gaussian_noise", "options": {"std": 30.0}}
    job["data"]["transforms"] = [{"name": "two_views", "transforms": [noise]}]
    job["model"] = {**job["model"], "inputs": {"x": "view_1"}}
    return job


def test_the_bank_is_read_from_the_column_that_is_named(tmp_path: Any) -> None:
    """Views are all noise here; samples that are read clean find their own class."""
    with Rig(tmp_path) as rig:
        noisy = rig.train(_job(), Setup())
        clean_bank = rig.train(_job(read="view_1", bank="features"), Setup())
        plain = Case("strategies", "knn_probe").job_with({})
        clean = rig.train(plain, Setup())
    name = "validation/knn_accuracy"
    assert noisy.curve(name) != clean_bank.curve(name)
    assert max(noisy.curve(name)) < 0.7
    assert clean.curve(name)[-1] > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_workers_measure_as_one_process(two_workers: Any, tmp_path: Any, precision: str) -> None:
    job = Case("strategies", "knn_probe", {"num_neighbors": 5}).job_with({"num_neighbors": 5})
    job["training"] = {**job["training"], "precision": precision}
    with Rig(tmp_path, {2: two_workers}) as rig:
        alone = rig.train(job, Setup("deepspeed", 0, 1))
        for stage in (0, 3):
            together = rig.train(job, Setup("deepspeed", stage, 2))
            curve = together.curve("validation/knn_accuracy")
            assert curve == pytest.approx(alone.curve("validation/knn_accuracy"), abs=0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_neighbors": 0}, "num_neighbors must be at least 1"),
        ({"temperature": 0.0}, "temperature must be a number above 0"),
        ({"temperature": math.nan}, "temperature must be a number above 0"),
        ({"bank": "image"}, "give both or neither, got read None and bank 'image'"),
        ({"read": "view_1"}, "give both or neither"),
    ],
)
def test_ill_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        KnnProbe(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": "features"}, "the model has no output 'features'; it gives logits, embedding"),
        ({"read": "view_1", "bank": "clean"}, "the data has no column 'clean'; it has"),
    ],
)
def test_what_is_not_there(options: dict[str, Any], message: str, tmp_path: Any) -> None:
    with Rig(tmp_path) as rig, pytest.raises(Exception, match=message):
        rig.train(_job(**options), Setup())
