"""Label noise: rates, lasting draws, the classes it gives, and clean evaluation."""

from __future__ import annotations

import pytest
import torch

from trainwright.data import Table
from trainwright.data.transforms import LabelNoise, TransformChain
from trainwright.errors import DataError

CLASSES = 5
CLEAN = torch.arange(20_000) % CLASSES
TABLE = Table.from_arrays(
    {"features": torch.zeros(len(CLEAN), 1), "target": CLEAN},
    {"features": "vector", "target": "class"},
)


def noisy(noise: LabelNoise, epoch: int = 0, training: bool = True, seed: int = 0) -> torch.Tensor:
    chain = TransformChain([("label_noise", noise)], seed)
    chain.fit(TABLE)
    return chain(TABLE.take(torch.arange(len(TABLE))), epoch, training)["target"]


def test_uniform_noise_draws_from_all_classes() -> None:
    labels = noisy(LabelNoise(0.5))
    counts = torch.bincount(CLASSES * CLEAN + labels, minlength=CLASSES**2).reshape(CLASSES, -1)
    shares = counts / counts.sum(dim=1, keepdim=True)
    expected = 0.5 * torch.eye(CLASSES) + 0.5 / CLASSES
    torch.testing.assert_close(shares, expected, atol=4 * (0.25 / 4000) ** 0.5, rtol=0)


def test_next_noise_gives_the_class_that_follows() -> None:
    labels = noisy(LabelNoise(0.3, "next"))
    changed = labels != CLEAN
    assert torch.equal(labels[changed], (CLEAN[changed] + 1) % CLASSES)
    assert abs(changed.float().mean().item() - 0.3) < 4 * (0.21 / len(CLEAN)) ** 0.5


@pytest.mark.parametrize("kind", ["uniform", "next"])
def test_noise_lasts_over_epochs_and_changes_with_the_seed(kind: str) -> None:
    first = noisy(LabelNoise(0.4, kind))
    assert torch.equal(noisy(LabelNoise(0.4, kind), epoch=7), first)
    assert not torch.equal(noisy(LabelNoise(0.4, kind), seed=1), first)


def test_evaluation_is_clean_and_so_is_a_rate_of_zero() -> None:
    assert torch.equal(noisy(LabelNoise(1.0), training=False), CLEAN)
    assert torch.equal(noisy(LabelNoise(0.0)), CLEAN)


def test_classes_of_pixels_are_changed_one_by_one() -> None:
    masks = torch.zeros(50, 8, 8, dtype=torch.int64)
    masks[:, 0, 0] = 2
    table = Table.from_arrays({"target": masks}, {"target": "class"})
    chain = TransformChain([("label_noise", LabelNoise(0.25, "next"))], 0)
    chain.fit(table)
    changed = chain(table.take(torch.arange(50)), 0, True)["target"] != masks
    assert 0.2 < changed.float().mean() < 0.3
    assert 0 < changed[0].sum() < 64


def test_a_column_without_classes_is_refused() -> None:
    with pytest.raises(DataError, match="'features' is of kind vector"):
        noisy(LabelNoise(0.1, column="features"))
