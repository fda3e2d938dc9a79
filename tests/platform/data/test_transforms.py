from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from trainwright.data import Table
from trainwright.data.sources import diabetes, digits
from trainwright.data.transforms import (
    Flatten,
    GaussianNoise,
    OneHot,
    RandomCrop,
    RandomFlip,
    Reshape,
    Scale,
    Standardize,
    TransformChain,
    build_chain,
)
from trainwright.data.transforms.random_crop import crop
from trainwright.errors import DataError, PluginError
from trainwright.job.models import PluginSpec

TABLE = digits()


def fitted(*transforms, table: Table = TABLE, seed: int = 0) -> TransformChain:
    chain = TransformChain([(type(t).__name__, t) for t in transforms], seed)
    chain.fit(table)
    return chain


def run(chain: TransformChain, rows: list[int], epoch: int = 0, training: bool = True):
    return chain(TABLE.take(torch.tensor(rows)), epoch, training)


AUGMENTATIONS = {
    "crop": lambda: RandomCrop(padding=2),
    "flip": lambda: RandomFlip(),
    "flip_vertical": lambda: RandomFlip(direction="vertical"),
    "noise": lambda: GaussianNoise(std=0.3),
}


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_an_augmented_sample_does_not_depend_on_its_batch(name: str) -> None:
    chain = fitted(AUGMENTATIONS[name]())
    rows = [5, 900, 17, 3, 44, 1200, 8, 21]
    together = run(chain, rows)["image"]
    for place, row in enumerate(rows):
        assert torch.equal(run(chain, [row])["image"][0], together[place])
    reordered = run(chain, rows[::-1])["image"]
    assert torch.equal(reordered.flip(0), together)
    part = TABLE.subset(torch.tensor(rows))
    assert torch.equal(chain(part.take(torch.arange(8)), 0, True)["image"], together)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_augmentations_change_with_epoch_and_seed_but_repeat(name: str) -> None:
    rows = list(range(64))
    base = run(fitted(AUGMENTATIONS[name]()), rows)["image"]
    assert torch.equal(base, run(fitted(AUGMENTATIONS[name]()), rows)["image"])
    assert not torch.equal(base, run(fitted(AUGMENTATIONS[name]()), rows, epoch=1)["image"])
    assert not torch.equal(base, run(fitted(AUGMENTATIONS[name](), seed=1), rows)["image"])


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_evaluation_is_not_augmented(name: str) -> None:
    chain = fitted(AUGMENTATIONS[name]())
    rows = list(range(64))
    plain = TABLE.take(torch.tensor(rows))["image"]
    assert torch.equal(run(chain, rows, training=False)["image"], plain)
    assert not torch.equal(run(chain, rows, training=True)["image"], plain)


def test_two_of_a_kind_draw_different_numbers() -> None:
    chain = fitted(GaussianNoise(std=1.0), GaussianNoise(std=1.0))
    first = (
        run(fitted(GaussianNoise(std=1.0)), [1])["image"] - TABLE.take(torch.tensor([1]))["image"]
    )
    both = run(chain, [1])["image"] - TABLE.take(torch.tensor([1]))["image"]
    assert list(chain.state_dict()) == ["GaussianNoise", "GaussianNoise#2"]
    assert not torch.allclose(both, 2 * first)


def test_noise_has_the_stated_strength() -> None:
    rows = list(range(1000))
    noise = run(fitted(GaussianNoise(std=0.3)), rows)["image"] - run(fitted(), rows)["image"]
    assert abs(noise.std() - 0.3) < 0.005
    assert abs(noise.mean()) < 0.005


def test_crop_equals_slicing_sample_by_sample() -> None:
    images = torch.rand(9, 2, 5, 7)
    shift = torch.tensor([[a, b] for a in (0, 2, 4) for b in (0, 1, 4)])
    got = crop(images, 2, shift)
    for index, (a, b) in enumerate(shift.tolist()):
        padded = np.pad(images[index].numpy(), ((0, 0), (2, 2), (2, 2)))
        np.testing.assert_array_equal(got[index].numpy(), padded[:, a : a + 5, b : b + 7])


def test_crop_uses_every_shift_about_equally() -> None:
    table = Table.from_arrays({"image": np.eye(9).reshape(81, 1, 1, 1)}, {"image": "image"})
    spike = np.zeros((2500, 1, 5, 5), np.float32)
    spike[:, :, 2, 2] = 1
    table = Table.from_arrays({"image": spike}, {"image": "image"})
    moved = fitted(RandomCrop(padding=2), table=table)(table.take(torch.arange(2500)), 0, True)
    counts = moved["image"].sum(dim=(0, 1))
    assert counts.sum() == 2500
    assert (counts > 60).all()  # 100 expected at each of 25 places
    assert (counts < 140).all()


def test_flip_mirrors_about_half_of_the_samples() -> None:
    rows = list(range(1000))
    before = TABLE.take(torch.tensor(rows))["image"]
    after = run(fitted(RandomFlip()), rows)["image"]
    mirrored = (after == before.flip(-1)).flatten(1).all(1)
    same = (after == before).flatten(1).all(1)
    assert (mirrored | same).all()
    assert 430 < mirrored.sum() < 570
    assert torch.equal(run(fitted(RandomFlip(p=0.0)), rows)["image"], before)
    vertical = run(fitted(RandomFlip(p=1.0, direction="vertical")), rows)["image"]
    assert torch.equal(vertical, before.flip(-2))


def test_standardize_measures_the_training_split_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainwright.data.transforms.standardize._CACHED", 4 * 3000)
    rng = np.random.default_rng(0)
    x = rng.normal(5, 3, (9000, 4)).astype(np.float32)  # three chunks
    x[:, 2] = 7.3  # constant
    table = Table.from_arrays({"x": x}, {"x": "vector"})
    train = table.subset(torch.arange(8500))
    chain = fitted(Standardize(), table=train)
    got = chain(train.take(torch.arange(8500)), 0, False)["x"].double()
    torch.testing.assert_close(got.mean(0), torch.zeros(4).double(), atol=1e-5, rtol=0)
    assert got.std(0, unbiased=False)[[0, 1, 3]].numpy() == pytest.approx(1, abs=1e-5)
    assert (got[:, 2].abs() < 1e-5).all()
    other = chain(table.take(torch.arange(8500, 9000)), 0, False)["x"].numpy()
    expected = (x[8500:] - x[:8500].mean(0)) / x[:8500].std(0)
    np.testing.assert_allclose(other[:, [0, 1, 3]], expected[:, [0, 1, 3]], rtol=1e-3, atol=1e-4)


def test_standardize_measures_images_per_channel_and_values_when_named() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (50, 3, 4, 4), dtype=np.uint8)
    images[:, 1] //= 4
    table = Table.from_arrays(
        {"image": images, "y": rng.normal(100, 5, 50)}, {"image": "image", "y": "value"}
    )
    chain = fitted(Standardize(columns=["image", "y"]), table=table)
    batch = chain(table.take(torch.arange(50)), 0, False)
    for name, dims in (("image", (0, 2, 3)), ("y", (0,))):
        mean = batch[name].double().mean(dims)
        torch.testing.assert_close(mean, torch.zeros_like(mean), atol=1e-5, rtol=0)
        assert batch[name].double().std(dims, unbiased=False).numpy() == pytest.approx(1, abs=1e-4)


def test_standardize_leaves_the_target_alone_by_default() -> None:
    table = diabetes()
    batch = fitted(Standardize(), table=table)(table.take(torch.arange(10)), 0, False)
    assert torch.equal(batch["target"], table.tensors["target"][:10])
    assert not torch.equal(batch["features"], table.tensors["features"][:10])


def test_a_later_transform_is_fitted_to_what_the_earlier_ones_leave() -> None:
    chain = fitted(GaussianNoise(std=5.0), Scale(factor=10.0, offset=1.0), Standardize())
    batch = chain(TABLE.take(torch.arange(len(TABLE))), 0, training=False)["image"]
    assert abs(batch.double().mean()) < 1e-5
    assert abs(batch.double().std() - 1) < 1e-3


def test_state_carries_over_to_a_chain_that_saw_no_data() -> None:
    chain = fitted(Standardize(), RandomFlip())
    other = TransformChain([("Standardize", Standardize()), ("RandomFlip", RandomFlip())])
    other.load_state_dict(chain.state_dict())
    batch = TABLE.take(torch.arange(9))
    assert torch.equal(other(batch, 0, False)["image"], chain(batch, 0, False)["image"])
    with pytest.raises(ValueError, match="the transforms are"):
        TransformChain([("Scale", Scale())]).load_state_dict(chain.state_dict())


def test_shapes_and_kinds_after_the_chain() -> None:
    chain = fitted(Reshape(shape=[4, 16]), OneHot())
    assert chain.columns["image"].kind == "vector"
    assert chain.columns["image"].shape == (4, 16)
    target = chain.columns["target"]
    assert (target.kind, target.shape, target.num_classes) == ("vector", (10,), 10)
    batch = run(chain, [0, 1, 2])
    assert batch["image"].shape == (3, 4, 16)
    assert torch.equal(batch["target"].argmax(1), TABLE.tensors["target"][:3])
    assert batch["target"].sum() == 3
    flat = fitted(Flatten())
    assert flat.columns["image"].shape == (64,)
    assert run(flat, [4])["image"].flatten().equal(TABLE.tensors["image"][4].flatten())
    assert fitted().columns == TABLE.columns


def test_batches_are_not_changed_in_place() -> None:
    batch = TABLE.take(torch.arange(8))
    before = {name: tensor.clone() for name, tensor in batch.items()}
    fitted(
        RandomCrop(padding=1), RandomFlip(), GaussianNoise(), Standardize(), Scale(2.0), OneHot()
    )(batch, 3, True)
    assert all(torch.equal(batch[name], before[name]) for name in before)


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (Standardize(columns=["imag"]), "nearest: image"),
        (Standardize(columns="target"), "of kind class"),
        (RandomCrop(columns=["nothing_like_it"]), "the data has image"),
        (OneHot(column="targets"), "nearest: target"),
        (OneHot(num_classes=3), "has 10 classes"),
        (Reshape(shape=[65]), "64 elements per sample"),
    ],
)
def test_what_does_not_fit_the_data_is_refused(transform, message: str) -> None:
    with pytest.raises(DataError) as caught:
        fitted(Scale(), transform)
    (problem,) = caught.value.problems
    assert problem.path == "data.transforms.1"
    assert message in problem.message


def test_images_are_needed_for_image_transforms() -> None:
    with pytest.raises(DataError, match="no column of kind image"):
        fitted(RandomFlip(), table=diabetes())


def test_every_wrong_transform_is_reported() -> None:
    with pytest.raises(DataError) as caught:
        fitted(Standardize(columns=["a"]), Scale(), OneHot(column="b"))
    assert [p.path for p in caught.value.problems] == ["data.transforms.0", "data.transforms.2"]


def test_a_users_transform_that_drops_samples_or_fails_is_refused() -> None:
    def drop(batch, context):
        return {name: tensor[:0] for name, tensor in batch.items()}

    def fail(batch, context):
        return batch["missing"]

    for transform, message in ((drop, "must keep the samples"), (fail, "KeyError: 'missing'")):
        chain = TransformChain([("mine", transform)])
        with pytest.raises(DataError, match=message):
            chain.fit(TABLE)


def test_a_users_function_needs_no_base_class_and_may_add_columns() -> None:
    def add(batch, context):
        draw = context.normal(batch, (3,), stream="a")
        assert not torch.equal(draw, context.normal(batch, (3,), stream="b"))
        return {**batch, "extra": draw, "flag": draw[:, 0] > 0}

    chain = TransformChain([("mine", add)])
    chain.fit(TABLE)
    assert chain.columns["extra"].kind == "vector"
    assert chain.columns["flag"].kind == "mask"
    assert "extra" in run(chain, [1, 2], training=False)


def test_chain_from_specifications(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "class Double:\n"
        "    def __init__(self, column: str = 'image') -> None:\n"
        "        self.column = column\n"
        "    def __call__(self, batch, context):\n"
        "        return {**batch, self.column: 2 * batch[self.column]}\n"
        "class NoTransform:\n"
        "    pass\n"
    )
    path = "trainwright.data.transforms"
    specs = [
        PluginSpec(name="mine.py:Double"),
        PluginSpec.model_validate({"name": f"{path}.RandomCrop", "padding": 1}),
    ]
    chain = build_chain(specs, base=tmp_path, seed=0)
    chain.fit(TABLE)
    got = run(chain, [3], training=False)["image"]
    assert torch.equal(got, 2 * TABLE.take(torch.tensor([3]))["image"])
    wrong = [
        PluginSpec.model_validate({"name": f"{path}.RandomCrop", "paddin": 1}),
        PluginSpec.model_validate({"name": f"{path}.RandomFlip", "p": 1.5}),
        PluginSpec(name="mine.py:NoTransform"),
        PluginSpec(name="mine.py:Duble"),
    ]
    with pytest.raises(PluginError) as caught:
        build_chain(wrong, base=tmp_path, seed=0)
    paths = [p.path for p in caught.value.problems]
    assert paths == [
        "data.transforms.0.paddin",
        "data.transforms.1.p",
        "data.transforms.2.name",
        "data.transforms.3.name",
    ]
