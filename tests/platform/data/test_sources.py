from __future__ import annotations

import socket

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from trainwright.data import Table, sources
from trainwright.data.sources import synthetic


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a bundled data set must not open connections")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.parametrize(
    ("name", "size", "column", "shape", "classes"),
    [
        ("digits", 1797, "image", (1, 8, 8), 10),
        ("breast_cancer", 569, "features", (30,), 2),
        ("wine", 178, "features", (13,), 3),
        ("diabetes", 442, "features", (10,), None),
    ],
)
def test_bundled(
    name: str, size: int, column: str, shape: tuple[int, ...], classes: int | None
) -> None:
    table = getattr(sources, name)()
    assert len(table) == size
    assert set(table.columns) == {column, "target", "sample_id"}
    assert table.columns[column].shape == shape
    assert table.columns["target"].num_classes == classes
    assert table.columns["target"].kind == ("class" if classes else "value")
    assert torch.isfinite(table.tensors[column]).all()


def test_digits_are_scaled_and_classes_are_named() -> None:
    image = sources.digits().tensors["image"]
    assert image.min() == 0
    assert image.max() == 1
    assert sources.breast_cancer().columns["target"].labels == ("malignant", "benign")
    assert sources.diabetes().tensors["target"].shape == (442, 1)


def test_digits_are_those_of_scikit_learn() -> None:
    usual, found = load_digits(), sources.digits().tensors
    assert np.array_equal(found["image"].numpy()[:, 0], (usual.images / 16).astype(np.float32))
    assert np.array_equal(found["target"].numpy(), usual.target)


def test_some_digits() -> None:
    every, some = sources.digits(), sources.digits([9, 4])
    where = torch.isin(every.tensors["target"], torch.tensor([4, 9]))
    assert len(some) == 361
    assert some.columns["target"].num_classes == 2
    assert some.tensors["image"].equal(every.tensors["image"][where])
    assert (9 - 5 * some.tensors["target"]).equal(every.tensors["target"][where])


@pytest.mark.parametrize("classes", [[], [3], [3, 3], [1, 2, 1]])
def test_digits_must_be_two_or_more_and_differ(classes: list[int]) -> None:
    with pytest.raises(ValueError, match="two digits or more, each once"):
        sources.digits(classes)


@pytest.mark.parametrize(("operation", "sign"), [("add", 1), ("subtract", -1), ("multiply", 0)])
def test_modular_arithmetic(operation: str, sign: int) -> None:
    table = sources.modular_arithmetic(5, operation)
    x, y = table.tensors["features"], table.tensors["target"]
    assert len(table) == 25
    assert table.columns["features"].shape == (10,)
    assert table.columns["target"].num_classes == 5
    a, b = x[:, :5].argmax(dim=1), x[:, 5:].argmax(dim=1)
    assert x.sum(dim=1).eq(2).all()
    assert len(set(zip(a.tolist(), b.tolist(), strict=True))) == 25
    assert y.equal((a + sign * b if sign else a * b) % 5)


def test_digits_of_some_classes_can_be_rare() -> None:
    part = sources.digits(start=1, step=2)
    rare = sources.digits(start=1, step=2, per_class=[20] * 5 + [3] * 5)
    assert rare.tensors["target"].bincount().tolist() == [20] * 5 + [3] * 5
    seven = part.tensors["image"][part.tensors["target"] == 7]
    assert rare.tensors["image"][rare.tensors["target"] == 7].equal(seven[:3])
    assert sources.digits([3, 8], per_class=[4, 6]).tensors["target"].bincount().tolist() == [4, 6]
    with pytest.raises(ValueError, match=r"one number for each of 10 classes, got \[5\]"):
        sources.digits(per_class=[5])


SYNTHETIC = [
    sources.synthetic_classification,
    sources.synthetic_regression,
    sources.synthetic_images,
]


@pytest.mark.parametrize("make", SYNTHETIC)
def test_synthetic_data_is_a_function_of_its_options(make) -> None:
    first: Table = make(num_samples=50)
    assert len(first) == 50
    assert first.fingerprint() == make(num_samples=50).fingerprint()
    assert first.fingerprint() != make(num_samples=50, seed=1).fingerprint()
    longer = make(num_samples=60)
    for name, tensor in first.tensors.items():
        assert torch.equal(tensor, longer.tensors[name][:50])


def test_synthetic_classification_is_separable_by_its_centres() -> None:
    table = sources.synthetic_classification(2000, num_features=20, num_classes=4, noise=0.5)
    x, y = table.tensors["features"], table.tensors["target"]
    centres = torch.stack([x[y == c].mean(0) for c in range(4)])
    assert (torch.cdist(x, centres).argmin(1) == y).float().mean() > 0.99
    spread = (x - centres[y]).std()
    assert abs(spread - 0.5) < 0.02


def test_synthetic_regression_has_the_stated_noise() -> None:
    table = sources.synthetic_regression(3000, num_features=8, num_outputs=2, noise=0.3)
    x, y = table.tensors["features"], table.tensors["target"]
    assert y.shape == (3000, 2)
    residual = y - x @ torch.linalg.lstsq(x, y).solution
    assert abs(residual.std() - 0.3) < 0.02
    assert 0.5 < (y.var() - 0.09) < 2


def test_synthetic_images_are_shifted_patterns() -> None:
    table = sources.synthetic_images(200, image_size=8, channels=2, num_classes=5, noise=0.0)
    images, target = table.tensors["image"], table.tensors["target"]
    assert images.shape == (200, 2, 8, 8)
    assert target.bincount().tolist() == [40] * 5
    spectrum = torch.fft.fft2(images).abs()  # a shift does not change it
    torch.testing.assert_close(
        spectrum[0::5], spectrum[:1].expand(40, -1, -1, -1), rtol=1e-3, atol=1e-3
    )
    assert not torch.equal(images[0], images[5])
    assert (spectrum[0] - spectrum[1]).abs().max() > 1


def test_digits_in_parts() -> None:
    whole, even, odd = sources.digits(), sources.digits(step=2), sources.digits(start=1, step=2)
    for name in ("image", "target"):
        column = whole.tensors[name]
        assert column[::2].equal(even.tensors[name])
        assert column[1::2].equal(odd.tensors[name])


def test_dictionary_samples_are_sums_of_few_directions() -> None:
    table = sources.synthetic_dictionary(2000, noise=0.0, num_features=64, num_atoms=16)
    features, active = table.tensors["features"], table.tensors["num_active"][:, 0]
    assert features.shape == (2000, 64)
    assert torch.linalg.matrix_rank(features) == 16  # no noise: nothing but the directions
    assert (features[active == 0] == 0).all()
    assert 0 < (active == 0).sum() < 400
    alone = features[active == 1].norm(dim=1)
    assert alone.min() >= 0.499
    assert alone.max() <= 1.501
    assert 3.2 < active.mean() < 4.0  # cut off at 0.9 and 0.95


def test_conditionals_are_drawn_as_often_as_is_probable() -> None:
    table = sources.synthetic_conditionals(num_points=7, num_draws=200, seed=3)
    features, target, probabilities = (
        table.tensors[n].view(7, 200, -1) for n in ("features", "target", "probabilities")
    )
    for column in (features, probabilities):
        assert (column == column[:, :1]).all()
        assert len(column[:, 0].unique(dim=0)) == 7
    torch.testing.assert_close(probabilities.sum(dim=2), torch.ones(7, 200))
    for point in range(7):
        drawn = torch.bincount(target[point].flatten(), minlength=4)
        assert ((drawn - 200 * probabilities[point, 0]).abs() < 1.001).all()
    even = sources.synthetic_conditionals(sharpness=0.0, num_draws=400)
    assert torch.bincount(even.tensors["target"]).float().std() < 1
    assert (even.tensors["probabilities"] == 0.25).all()


def test_images_are_the_same_however_many_are_drawn_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All at once, their random numbers would take nine times the memory of the images."""
    options = {"num_samples": 50, "image_size": 8, "seed": 5}
    whole = synthetic.synthetic_images(**options).tensors["image"]
    monkeypatch.setattr(synthetic, "_BLOCK", 7 * 3 * 8 * 8)
    assert synthetic.synthetic_images(**options).tensors["image"].equal(whole)
