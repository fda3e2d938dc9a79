"""The linear probe against scikit-learn's softmax regression, on one worker and on two."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from trainwright.strategy import Context
from trainwright.testing import Case, Rig, Setup
from trainwright_strategies.linear_probe import LinearProbe, scale_of, softmax_regression


def clouds(size: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (size,), generator=generator)
    centres = torch.tensor([[0.0, 0, 2, 5], [1, 0, 0, 5], [0, 1, 1, 5]])
    noise = torch.randn(size, 4, generator=generator) * torch.tensor([1, 30, 1, 0])
    return centres[labels] + noise, labels


class Given:
    """An evaluation whose outputs are given, by split."""

    context = Context(seed=0)

    def __init__(self, **splits: tuple[Tensor, Tensor]) -> None:
        self.splits = splits

    def batches(self, split: str = "validation", change: Any = None) -> Iterator[Any]:
        vectors, labels = self.splits[split]
        for x, y in zip(vectors.split(7), labels.split(7), strict=True):
            yield {"target": y}, {"embedding": x}

    def sum(self, value: Tensor) -> Tensor:
        return value


@pytest.mark.parametrize("weight_decay", [1e-3, 0.1])
def test_the_classifier_is_that_of_scikit_learn(weight_decay: float) -> None:
    vectors, labels = clouds(60)
    mean, spread = scale_of(vectors)
    scaled = (vectors - mean) / spread
    weights, biases = softmax_regression(scaled, labels, weight_decay)
    reference = LogisticRegression(C=1 / (60 * weight_decay), tol=1e-10, max_iter=5000)
    reference.fit(scaled.double().numpy(), labels.numpy())
    np.testing.assert_allclose(weights.numpy(), reference.coef_, atol=1e-4)
    shift = biases.numpy() - reference.intercept_  # a shift of all biases changes nothing
    np.testing.assert_allclose(shift, shift.mean(), atol=1e-4)


def test_the_gradient_at_the_optimum_vanishes() -> None:
    vectors, labels = clouds(40)
    weights, biases = softmax_regression(vectors[:, :1], labels, 0.01)
    p = (vectors[:, :1].double() @ weights.T + biases).softmax(dim=1)
    error = p - torch.nn.functional.one_hot(labels, 3)
    gradient = error.T @ vectors[:, :1].double() / 40 + 0.01 * weights
    assert float(gradient.abs().max()) < 1e-5
    assert float(error.mean(dim=0).abs().max()) < 1e-5


def test_accuracy_is_that_of_held_out_samples_after_scaling() -> None:
    train, held_out = clouds(60), clouds(31, seed=1)
    found = LinearProbe(weight_decay=0.01).evaluate(Given(train=train, validation=held_out))
    scaler = StandardScaler().fit(train[0].numpy())
    reference = LogisticRegression(C=1 / 0.6, tol=1e-10, max_iter=5000)
    reference.fit(scaler.transform(train[0].numpy()), train[1].numpy())
    expected = reference.score(scaler.transform(held_out[0].numpy()), held_out[1].numpy())
    assert found == pytest.approx({"linear_accuracy": expected})
    assert 0.4 < expected < 0.95


def test_degenerate_samples() -> None:
    same = torch.ones(5, 2), torch.tensor([0, 1, 1, 1, 2])
    found = LinearProbe().evaluate(Given(train=same, validation=same))
    assert found["linear_accuracy"] == pytest.approx(0.6)  # the most frequent class
    one = torch.randn(4, 2), torch.zeros(4, dtype=torch.int64)
    assert LinearProbe().evaluate(Given(train=one, validation=one))["linear_accuracy"] == 1.0
    unseen = torch.randn(4, 2), torch.full((4,), 7)
    assert LinearProbe().evaluate(Given(train=one, validation=unseen))["linear_accuracy"] == 0.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight_decay": 0.0}, "weight_decay must be a number above 0, got 0.0"),
        ({"bank": "image"}, "give both or neither, got read None and bank 'image'"),
    ],
)
def test_ill_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LinearProbe(**options)


def test_what_is_not_there() -> None:
    given = Given(train=clouds(8), validation=clouds(8))
    with pytest.raises(ValueError, match="no output 'query'; it gives embedding"):
        LinearProbe(output="query").evaluate(given)
    with pytest.raises(ValueError, match="no column 'label'; it has target"):
        LinearProbe(target="label").evaluate(given)


@pytest.mark.slow
def test_workers_measure_as_one_process(two_workers: Any, tmp_path: Any) -> None:
    job = Case("strategies", "linear_probe").job_with({})
    name = "validation/linear_accuracy"
    with Rig(tmp_path, {2: two_workers}) as rig:
        alone = rig.train(job, Setup("deepspeed", 0, 1))
        for stage in (0, 3):
            together = rig.train(job, Setup("deepspeed", stage, 2))
            assert together.curve(name) == pytest.approx(alone.curve(name), abs=0.05)
