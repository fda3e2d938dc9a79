"""Metrics of tokens: classes in the last dimension, padding left out."""

from __future__ import annotations

import math

import pytest
import torch

from trainwright.data.table import IGNORED
from trainwright.metrics import build_metric

FACTS = {"target_kind": "tokens", "num_classes": 5}


def batches() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Sequences as long as the vocabulary is large, so that both orders of dimensions fit."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for size in (3, 4):
        logits = torch.randn(size, 5, 5, generator=generator)
        target = torch.randint(5, (size, 5), generator=generator)
        target[0, 2:] = IGNORED
        found.append((logits, target))
    return found


def measured(name: str, **options) -> float:
    metric = build_metric(name, options, facts=FACTS, bind={})
    for logits, target in batches():
        metric.update({"logits": logits}, {"target": target})
    return next(iter(metric.compute().values()))


def counted() -> list[tuple[list[float], int]]:
    return [
        (logits[row, place].tolist(), int(target[row, place]))
        for logits, target in batches()
        for row in range(len(target))
        for place in range(5)
        if target[row, place] != IGNORED
    ]


def test_accuracy_by_hand() -> None:
    right = [scores.index(max(scores)) == token for scores, token in counted()]
    assert measured("accuracy", average="micro") == pytest.approx(sum(right) / len(right))


def test_perplexity_by_hand() -> None:
    losses = [math.log(sum(map(math.exp, scores))) - scores[token] for scores, token in counted()]
    expected = math.exp(sum(losses) / len(losses))
    assert measured("perplexity") == pytest.approx(expected, rel=1e-5)
