"""Two views: independent of each other, of the batch, of everything but seed, epoch and sample."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from trainwright.data import Table
from trainwright.data.facts import data_facts
from trainwright.data.sources import digits, wine
from trainwright.data.transforms import (
    GaussianNoise,
    PixelDropout,
    RandomCrop,
    RandomFlip,
    Standardize,
    TransformChain,
    TwoViews,
)

TABLE = digits().subset(torch.arange(200))
NOISE = partial(GaussianNoise, std=1.0)
SHIFT = partial(RandomCrop, padding=2)


def chain(*transforms, seed: int = 0, table: Table = TABLE) -> TransformChain:
    made = TransformChain([(type(t).__name__, t) for t in transforms], seed)
    made.fit(table)
    return made


def views(made: TransformChain, rows: list[int], epoch: int = 0, training: bool = True):
    batch = made(TABLE.take(torch.tensor(rows)), epoch, training)
    return batch["view_1"], batch["view_2"]


ROWS = list(range(200))


def test_the_column_stays_and_the_views_are_its_kind() -> None:
    made = chain(TwoViews([SHIFT, NOISE]))
    batch = made(TABLE.take(torch.arange(5)), 0, training=True)
    assert torch.equal(batch["image"], TABLE.take(torch.arange(5))["image"])
    assert {n: c.kind for n, c in made.columns.items()} == {
        "image": "image",
        "target": "class",
        "sample_id": "id",
        "view_1": "image",
        "view_2": "image",
    }
    assert data_facts(made.columns, {"x": "view_2"})["in_channels"] == 1
    dropped = chain(TwoViews([NOISE], keep=False))
    assert "image" not in dropped.columns
    assert "image" not in dropped(TABLE.take(torch.arange(5)), 0, training=True)


def test_the_noise_of_the_views_is_uncorrelated_and_each_is_standard_normal() -> None:
    made = chain(TwoViews([NOISE]))
    clean = TABLE.take(torch.tensor(ROWS))["image"]
    first, second = ((view - clean).flatten() for view in views(made, ROWS))
    number = first.numel()
    for noise in (first, second):
        assert abs(noise.mean()) < 5 / number**0.5
        assert abs(noise.std() - 1) < 5 / (2 * number) ** 0.5
    correlation = (first * second).mean() / (first.std() * second.std())
    assert abs(correlation) < 5 / number**0.5


def test_two_of_a_kind_inside_one_view_draw_different_numbers() -> None:
    made = chain(TwoViews([NOISE, NOISE]))
    clean = TABLE.take(torch.tensor(ROWS))["image"]
    noise = views(made, ROWS)[0] - clean
    assert abs(noise.std() - 2**0.5) < 0.05


def test_a_view_depends_on_seed_epoch_and_sample_alone() -> None:
    made = chain(TwoViews([SHIFT, partial(RandomFlip), NOISE]))
    together = views(made, ROWS)
    for view in (0, 1):
        alone = torch.cat([views(made, [row])[view] for row in ROWS[:9]])
        assert torch.equal(alone, together[view][:9])
        assert torch.equal(views(made, ROWS[::-1])[view].flip(0), together[view])
        assert torch.equal(
            views(chain(TwoViews([SHIFT, RandomFlip, NOISE])), ROWS)[view], together[view]
        )
        assert not torch.equal(views(made, ROWS, epoch=1)[view], together[view])
        other = views(chain(TwoViews([SHIFT, RandomFlip, NOISE]), seed=1), ROWS)[view]
        assert not torch.equal(other, together[view])


def test_a_further_transform_behind_leaves_the_numbers_of_those_before() -> None:
    short = views(chain(TwoViews([NOISE])), ROWS)
    long = views(chain(TwoViews([NOISE, partial(PixelDropout, p=0.5)])), ROWS)
    kept = long[0] != 0
    assert 0.4 < kept.float().mean() < 0.6
    assert torch.equal(long[0][kept], short[0][kept])


def test_evaluation_sees_the_same_views_each_time() -> None:
    made = chain(TwoViews([NOISE]))
    first, again = views(made, ROWS, training=False), views(made, ROWS, training=False)
    assert torch.equal(first[0], again[0])
    assert not torch.equal(first[0], first[1])


def test_weak_and_strong_views() -> None:
    made = chain(TwoViews([partial(GaussianNoise, std=0.0)], second=[NOISE]))
    weak, strong = views(made, ROWS)
    assert torch.equal(weak, TABLE.take(torch.tensor(ROWS))["image"])
    assert (strong - weak).std() > 0.9


def test_further_views_stand_together_and_are_like_none_of_the_others() -> None:
    weak = partial(GaussianNoise, std=0.5)
    made = chain(TwoViews([NOISE], num_further=2, further=[weak]))
    assert made.columns["further_views"].shape == (2, 1, 8, 8)
    batch = made(TABLE.take(torch.tensor(ROWS)), 0, training=True)
    clean = batch["image"]
    noise = [batch["view_1"] - clean, batch["view_2"] - clean]
    noise += [view - clean for view in batch["further_views"].unbind(dim=1)]
    number = clean.numel()
    for index, one in enumerate(noise):
        wanted = 1.0 if index < 2 else 0.5
        assert abs(one.std() - wanted) < 5 * wanted / (2 * number) ** 0.5
        for other in noise[:index]:
            assert abs((one * other).mean() / (one.std() * other.std())) < 5 / number**0.5
    # The two views are those that there are without further ones.
    assert torch.equal(batch["view_1"], views(chain(TwoViews([NOISE])), ROWS)[0])
    alike = chain(TwoViews([NOISE], num_further=1))(TABLE.take(torch.arange(200)), 0, True)
    assert abs((alike["further_views"][:, 0] - clean).std() - 1) < 5 / (2 * number) ** 0.5


def test_vectors_have_views_and_standardizing_comes_before_or_after() -> None:
    table = wine()
    made = chain(Standardize(), TwoViews([NOISE]), Standardize(["view_1"]), table=table)
    batch = made(table.take(torch.arange(178)), 0, training=False)
    assert batch["view_1"].std(dim=0, correction=0).mean().item() == pytest.approx(1, abs=1e-3)
    assert batch["view_2"].std(dim=0).mean() > 1.3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TwoViews([]), "at least one"),
        (lambda: TwoViews([NOISE], second=[]), "at least one"),
        (lambda: TwoViews([NOISE], num_further=1, further=[]), "at least one"),
        (lambda: TwoViews([Standardize]), "Standardize learns from the data"),
    ],
)
def test_refusals_of_options(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("transforms", "message"),
    [
        ([lambda: TwoViews([NOISE], column="imag")], "nearest: image"),
        ([lambda: TwoViews([NOISE], column="target")], "works on image and vector|image, vector"),
        ([lambda: TwoViews([NOISE]), lambda: TwoViews([NOISE])], "say which|already"),
        ([lambda: TwoViews([partial(RandomFlip, columns="view_1")])], "no column 'view_1'"),
    ],
)
def test_refusals_of_columns(transforms, message: str) -> None:
    from trainwright.errors import DataError

    with pytest.raises(DataError, match=message):
        chain(*(make() for make in transforms))
