"""The probe against worked numbers and slow loops, on one worker and on two."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from trainwright.strategy import Context
from trainwright.testing import Case, Rig, Setup
from trainwright_strategies.uniformity_tolerance import UniformityTolerance

VIEWS = {
    "data": {"transforms": [{"name": "two_views", "transforms": ["gaussian_noise"]}]},
    "model": {
        "name": "two_tower",
        "options": {"query": {"name": "mlp", "hidden": [17]}, "dim": 6},
        "inputs": {"query": "view_1", "document": "view_2"},
    },
    "objective": {"name": "contrastive"},
}
NAMES = (
    "uniformity",
    "tolerance",
    "penalty_entropy",
    "positive_similarity",
    "negative_similarity",
)


class Given:
    """An evaluation whose outputs are given."""

    split = "validation"
    context = Context(seed=0, update=1)

    def __init__(self, query: Tensor, document: Tensor, target: Tensor, size: int = 3) -> None:
        self.parts = zip(query.split(size), document.split(size), target.split(size), strict=True)

    def batches(self) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
        for query, document, target in self.parts:
            yield {"target": target}, {"query": query, "document": document}

    def sum(self, value: Tensor) -> Tensor:
        return value


def measured(
    query: Tensor, target: list[int], document: Tensor | None = None, **options: Any
) -> dict[str, float]:
    probe = UniformityTolerance(second=None if document is None else "document", **options)
    second = query if document is None else document
    return dict(probe.evaluate(Given(query, second, torch.tensor(target))))


def test_worked_uniformity() -> None:
    cross = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    found = measured(cross, [0, 1, 2, 3])
    assert found["uniformity"] == pytest.approx(4.396349, abs=1e-6)
    assert math.isnan(found["tolerance"])


def test_worked_tolerance() -> None:
    vectors = torch.tensor([[1.0, 0.0], [0.6, 0.8], [-1.0, 0.0], [-0.8, -0.6]])
    found = measured(vectors, [0, 0, 1, 1])
    assert found == pytest.approx({"uniformity": 2.215853, "tolerance": 0.7}, abs=1e-6)
    over_all = measured(vectors, [0, 0, 1, 1], conditional=False)
    assert over_all["tolerance"] == pytest.approx(0.233333, abs=1e-6)


def test_penalties_equal_slow_loops() -> None:
    generator = torch.Generator().manual_seed(0)
    query, document = (torch.randn(7, 4, generator=generator) for _ in range(2))
    found = measured(query, [0] * 7, document, temperature=0.2, hardest=3)
    entropies, positives, tops = [], [], []
    for i in range(7):
        similarity = [functional.cosine_similarity(query[i], d, dim=0).item() for d in document]
        positives.append(similarity.pop(i))
        weights = [math.exp(s / 0.2) for s in similarity]
        shares = [w / sum(weights) for w in weights]
        entropies.append(-sum(r * math.log(r) for r in shares))
        tops.append(sum(sorted(similarity)[-3:]) / 3)
    assert found["penalty_entropy"] == pytest.approx(sum(entropies) / 7, rel=1e-5)
    assert found["positive_similarity"] == pytest.approx(sum(positives) / 7, abs=1e-6)
    assert found["negative_similarity"] == pytest.approx(sum(tops) / 7, abs=1e-6)


def test_parts_of_the_anchors_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    query, document = (torch.randn(7, 4, generator=generator) for _ in range(2))
    whole = measured(query, [0, 1] * 3 + [0], document)
    monkeypatch.setattr("trainwright_strategies.uniformity_tolerance._CHUNK", 3)
    assert measured(query, [0, 1] * 3 + [0], document) == pytest.approx(whole)


def test_length_and_rotation_do_not_count() -> None:
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(9, 4, generator=generator)
    rotation = torch.linalg.qr(torch.randn(4, 4, generator=generator)).Q
    target = [0, 1, 2] * 3
    assert measured(5 * query @ rotation, target) == pytest.approx(measured(query, target), 1e-4)


def test_collapsed_embeddings_are_told() -> None:
    with pytest.warns(UserWarning, match="embeddings have collapsed: their uniformity is 0.000"):
        found = measured(torch.ones(4, 3), [0, 0, 1, 1])
    assert found["uniformity"] == pytest.approx(0.0, abs=1e-6)
    assert found["tolerance"] == pytest.approx(1.0)


def test_what_is_not_there() -> None:
    with pytest.raises(ValueError, match="no output 'embedding'; it gives query, document"):
        measured(torch.ones(4, 3), [0] * 4, output="embedding")
    probe = UniformityTolerance(target="label")
    with pytest.raises(ValueError, match="no column 'label'; it has target"):
        probe.evaluate(Given(torch.ones(4, 3), torch.ones(4, 3), torch.ones(4)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "temperature must be a number above 0"),
        ({"t": -2.0}, "t must be a number above 0"),
        ({"t": math.inf}, "t must be a number above 0"),
        ({"hardest": 0}, "hardest must be a whole number of at least 1, got 0"),
    ],
)
def test_ill_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        UniformityTolerance(**options)


@pytest.mark.slow
def test_workers_measure_as_one_process(two_workers: Any, tmp_path: Any) -> None:
    """One sample to evaluate, too: the second worker then has none."""
    case = Case("strategies", "uniformity_tolerance", {"hardest": 4}, VIEWS)
    with Rig(tmp_path, {2: two_workers}) as rig:
        for held_out in (0.25, 3 / 96):
            job = case.job_with(case.options)
            job["data"] = {**job["data"], "validation": {"fraction": held_out, "stratify": False}}
            job["training"] = {**job["training"], "evaluation_batch_size": 2}
            alone = rig.train(job, Setup(), case.base)
            names = [f"validation/{name}" for name in NAMES]
            for stage in (0, 3):
                together = rig.train(job, Setup("deepspeed", stage, 2), case.base)
                for name in names:
                    assert together.curve(name) == pytest.approx(
                        alone.curve(name), rel=1e-3, nan_ok=True
                    ), (name, stage)
