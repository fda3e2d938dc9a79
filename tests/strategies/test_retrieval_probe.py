"""Ranks of documents against slow loops, whatever the batches and workers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from trainwright.strategy import Context
from trainwright.testing import Case, Rig, Setup
from trainwright_strategies.retrieval_probe import RetrievalProbe

TOWERS = {
    "data": {"source": {"name": "synthetic_retrieval", "options": {"num_labels": 96}}},
    "model": {
        "name": "two_tower",
        "options": {"query": {"name": "mlp", "hidden": [17]}, "dim": 6},
        "inputs": {"query": "query_features", "document": "document_features"},
    },
    "objective": {"name": "decoupled_softmax", "options": {"in_batch": True}},
}


class Given:
    """An evaluation whose outputs are given."""

    context = Context(seed=0)

    def __init__(self, outputs: dict[str, Tensor], batch: dict[str, Tensor], size: int) -> None:
        self.outputs, self.batch, self.size = outputs, batch, size

    def batches(self) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
        for start in range(0, len(self.batch["label"]), self.size):
            part = slice(start, start + self.size)
            yield (
                {name: value[part] for name, value in self.batch.items()},
                {name: value[part] for name, value in self.outputs.items()},
            )

    def sum(self, value: Tensor) -> Tensor:
        return value


def measured(
    outputs: dict[str, Tensor], batch: dict[str, Tensor], size: int = 3, **options: Any
) -> dict[str, float]:
    probe = RetrievalProbe(**options)
    return dict(probe.evaluate(Given(outputs, batch, size)))


def pairs() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Eight rows; label 4 stands in two of them, and some positives have no document."""
    generator = torch.Generator().manual_seed(0)
    outputs = {name: torch.randn(8, 3, generator=generator) for name in ("query", "document")}
    label = torch.tensor([4, 1, 7, 4, 0, 2, 9, 3])
    target = torch.stack([label, label.roll(3)], dim=1)
    target[2, 1] = -100
    target[5, 1] = 88
    return outputs, {"label": label, "target": target}


@pytest.mark.parametrize(("k", "temperature"), [(1, 1.0), (3, 0.2), (99, 1.0)])
def test_ranks_equal_slow_loops(k: int, temperature: float) -> None:
    outputs, batch = pairs()
    found = measured(outputs, batch, k=k, temperature=temperature)
    documents: dict[int, Tensor] = {}
    for label, document in zip(batch["label"].tolist(), outputs["document"], strict=True):
        documents.setdefault(label, document)
    precision, recall, own, probability = [], [], [], []
    rows = zip(outputs["query"], batch["target"].tolist(), batch["label"].tolist(), strict=True)
    for query, target, label in rows:
        scores = {c: float(query @ d) for c, d in documents.items()}
        ranked = sorted(scores, key=lambda c: -scores[c])
        positives = {c for c in target if c in documents}
        precision.append(ranked[0] in positives)
        recall.append(len(positives & set(ranked[:k])) / len(positives))
        own.append(ranked[0] == label)
        weights = {c: math.exp(s / temperature) for c, s in scores.items()}
        probability.append(weights[label] / sum(weights.values()))
    expected = {
        "precision_at_1": sum(precision) / 8,
        f"recall_at_{k}": sum(recall) / 8,
        "own_at_1": sum(own) / 8,
        "own_probability": sum(probability) / 8,
    }
    assert found == pytest.approx(expected, rel=1e-5)


def test_batches_do_not_count() -> None:
    outputs, batch = pairs()
    assert measured(outputs, batch, size=8) == pytest.approx(measured(outputs, batch, size=1))


def test_what_is_not_there() -> None:
    outputs, batch = pairs()
    with pytest.raises(ValueError, match="no output 'answer'; it gives query, document"):
        measured(outputs, batch, document="answer")
    with pytest.raises(ValueError, match="no column 'labels'; it has label, target"):
        measured(outputs, batch, label="labels")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k must be a whole number of at least 1, got 0"),
        ({"temperature": 0.0}, "temperature must be a number above 0"),
        ({"temperature": math.inf}, "temperature must be a number above 0"),
    ],
)
def test_ill_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RetrievalProbe(**options)


@pytest.mark.slow
def test_workers_train_and_measure_as_one_process(two_workers: Any, tmp_path: Any) -> None:
    """Losses inside the batch, too: the labels of both workers' rows are compared."""
    job = Case("strategies", "retrieval_probe", {"k": 3}, TOWERS).job_with({"k": 3})
    with Rig(tmp_path, {2: two_workers}) as rig:
        names = ["train/loss", *(f"validation/{n}" for n in ("precision_at_1", "recall_at_3"))]
        for objective in ("decoupled_softmax", "soft_topk"):
            job["objective"] = {"name": objective, "options": {"in_batch": True}}
            alone = rig.train(job, Setup())
            for stage in (0, 3):
                together = rig.train(job, Setup("deepspeed", stage, 2))
                for name in names:
                    assert alone.curve(name)
                    assert together.curve(name) == pytest.approx(alone.curve(name), rel=1e-4), (
                        objective,
                        stage,
                        name,
                    )
