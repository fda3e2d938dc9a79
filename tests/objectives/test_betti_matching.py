"""Betti matching against worked numbers, finite differences and what it must not see."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from trainwright_objectives import betti_matching as module
from trainwright_objectives.barcode_matching import match
from trainwright_objectives.betti_matching import (
    BettiMatching,
    Topology,
    betti_matching,
    soft_dice,
)
from trainwright_objectives.cubical_persistence import NEVER, betti_numbers

DOUBLE = torch.float64


def rows(*values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=DOUBLE)


RING = rows([0] * 5, [0, 1, 1, 1, 0], [0, 1, 0, 1, 0], [0, 1, 1, 1, 0], [0] * 5)
BROKEN = rows(
    [0.1] * 5,
    [0.1, 0.9, 0.8, 0.9, 0.1],
    [0.1, 0.85, 0.2, 0.3, 0.1],
    [0.1, 0.9, 0.7, 0.9, 0.1],
    [0.1] * 5,
)


def loss(first: Tensor, second: Tensor, **options: Any) -> float:
    return betti_matching(first[None], second[None], Topology(**options)).item()


def random_pair(seed: int = 0, shape: tuple[int, int] = (5, 6)) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.rand(shape, dtype=DOUBLE, generator=generator),
        torch.rand(shape, dtype=DOUBLE, generator=generator),
    )


def dots(*places: tuple[int, int], shape: tuple[int, int] = (6, 7)) -> Tensor:
    image = torch.zeros(shape, dtype=DOUBLE)
    for place in places:
        image[place] = 1
    return image


@pytest.mark.parametrize(
    ("first", "options", "expected"),
    [
        (RING, {}, 0.0),
        (torch.zeros_like(RING), {}, 3.0),
        (torch.zeros_like(RING), {"dimensions": (0,)}, 2.0),
        (torch.zeros_like(RING), {"dimensions": (1,)}, 1.0),
        (BROKEN, {}, 1.1325),
        (BROKEN, {"dimensions": (0,)}, 0.0725),
        (BROKEN, {"dimensions": (1,)}, 1.06),
        (BROKEN, {"relative": True}, 1.2125),
        (BROKEN, {"relative": True, "dimensions": (0,)}, 0.1125),
        (BROKEN, {"relative": True, "dimensions": (1,)}, 1.1),
    ],
)
def test_worked_values(first: Tensor, options: dict[str, Any], expected: float) -> None:
    assert loss(first, RING, **options) == pytest.approx(expected, abs=1e-12)
    assert loss(RING, first, **options) == pytest.approx(expected, abs=1e-12)


def test_worked_gradient() -> None:
    """The four pixels of 0.9 are equal: which of them stand for which features is convention."""
    prediction = BROKEN.clone().requires_grad_()
    betti_matching(prediction[None], RING[None]).sum().backward()
    expected = rows([0, 0.1, -0.2, 0.2, 0], [0, -0.1, 0.8, -2.8, 0], [0, 0.4, -0.4, -0.4, 0])
    torch.testing.assert_close(prediction.grad[1:4], expected)
    assert prediction.grad[[0, 4]].abs().max() == 0


def test_two_dots_and_a_bridge() -> None:
    prediction = torch.full((3, 5), 0.1, dtype=DOUBLE)
    prediction[1] = torch.tensor([0.1, 0.9, 0.4, 0.8, 0.1])
    prediction.requires_grad_()
    value = betti_matching(prediction[None], dots((1, 1), (1, 3), shape=(3, 5))[None]).sum()
    value.backward()
    assert value.item() == pytest.approx(0.42)
    expected = torch.zeros(3, 5, dtype=DOUBLE)
    expected[1] = torch.tensor([0, -0.4, 1.6, -0.8, 0])
    torch.testing.assert_close(prediction.grad, expected)


def test_features_in_the_wrong_place_count_though_their_number_is_right() -> None:
    first, second = dots((1, 1), (4, 5)), dots((1, 5), (4, 1))
    both = torch.stack([first, second])
    assert betti_numbers(both.numpy() > 0).tolist() == [[2, 0], [2, 0]]
    assert loss(first, second) == 2.0
    blocks = torch.zeros(7, 14, dtype=DOUBLE)
    blocks[2:5, 2:5] = blocks[2:5, 9:12] = 1
    left, right = blocks.clone(), blocks.clone()
    left[3, 3] = right[3, 10] = 0
    assert loss(left, right) == loss(right, left) == loss(left, right, dimensions=(1,)) == 2.0


@pytest.mark.parametrize("levels", ["superlevel", "sublevel", "bothlevel"])
@pytest.mark.parametrize("construction", ["V", "T"])
@pytest.mark.parametrize("relative", [False, True])
def test_symmetry_and_finite_differences(levels: Any, construction: Any, relative: bool) -> None:
    first, second = random_pair()
    topology = Topology(levels, relative, construction)
    forth = betti_matching(first[None], second[None], topology)
    torch.testing.assert_close(forth, betti_matching(second[None], first[None], topology))
    assert forth.item() > 0.1
    assert torch.autograd.gradcheck(
        lambda a, b: betti_matching(a[None], b[None], topology),
        (first.requires_grad_(), second.requires_grad_()),
        fast_mode=True,
    )


def test_sublevels_are_superlevels_of_the_negative() -> None:
    for seed in range(5):
        first, second = random_pair(seed)
        expected = loss(first, second)
        assert loss(1 - first, 1 - second, levels="sublevel") == pytest.approx(expected)
        both = loss(first, second, levels="bothlevel")
        assert both == pytest.approx(expected + loss(first, second, levels="sublevel"))


def test_masks_give_the_number_of_features_without_partner() -> None:
    for seed in range(20):
        first, second = (image > 0.5 for image in random_pair(seed, (7, 8)))
        found = loss(first.double(), second.double())
        assert found == round(found)
        numbers = betti_numbers(np.stack([first.numpy(), second.numpy()]))
        error = abs(numbers[0] - numbers[1]).sum()
        assert found >= error
        assert (found - error) % 2 == 0  # further ones come in pairs


def test_short_features_are_left_out() -> None:
    first, second = random_pair(3)
    images = [1 - image[None].numpy() for image in (first, second)]

    def lengths(min_persistence: float) -> list[float]:
        values = images[0].flatten()
        found = []
        for one in match(*images, "V", min_persistence):
            own = np.concatenate([one.matched[:, :2], one.first])
            found += [1 - values[b] if d == NEVER else values[d] - values[b] for b, d in own]
        return sorted(found)

    every, some = lengths(0.0), lengths(0.3)
    assert some == [length for length in every if length > 0.3]
    assert 1 < len(some) < len(every)
    # Only the components that never die are left, and they are matched by what is born highest.
    highest = 2 * (first.max() - second.max()).square().item()
    assert loss(first, second, min_persistence=0.99) == pytest.approx(highest)


def test_every_image_of_a_batch_by_itself(monkeypatch: Any) -> None:
    pairs = [random_pair(seed) for seed in range(3)]
    first, second = (torch.stack(part) for part in zip(*pairs, strict=True))
    each = betti_matching(first, second)
    assert each.tolist() == pytest.approx([loss(*pair) for pair in pairs])
    # In blocks of two and of one.
    monkeypatch.setattr(module, "_PIXELS", 60)
    assert torch.equal(betti_matching(first, second), each)
    assert len(betti_matching(first[:0], second[:0])) == 0


def test_soft_dice_by_hand() -> None:
    first, second = random_pair()
    values = [image.flatten().tolist() for image in (first, second)]
    both = sum(a * b for a, b in zip(*values, strict=True))
    total = float(first.sum() + second.sum())
    expected = 1 - (2 * both + 1e-5) / (total + 1e-5)
    assert soft_dice(first[None], second[None]).item() == pytest.approx(expected, rel=1e-10)
    assert soft_dice(torch.zeros(1, 3, 3), torch.zeros(1, 3, 3)).item() == pytest.approx(0.0)


def scores(classes: int = 1, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, classes, 5, 6, dtype=DOUBLE, generator=generator)


def test_the_objective() -> None:
    logits, target = scores(), scores(seed=1)[:, 0] > 0
    found = BettiMatching(betti_weight=0.3, dice_weight=0.7)(logits, target)
    probabilities, truth = logits[:, 0].sigmoid(), target.double()
    dice, betti = soft_dice(probabilities, truth), betti_matching(probabilities, truth)
    torch.testing.assert_close(found["dice"], dice.mean())
    torch.testing.assert_close(found["betti"], betti.mean())
    torch.testing.assert_close(found["loss"], (0.7 * dice + 0.3 * betti).mean())
    each = BettiMatching(0.3, 0.7, reduction="none")(logits, target[:, None].double())["loss"]
    torch.testing.assert_close(each, 0.7 * dice + 0.3 * betti)
    total = BettiMatching(0.3, 0.7, reduction="sum")(logits, target.long())
    torch.testing.assert_close(total["loss"], each.sum())
    torch.testing.assert_close(total["betti"], betti.sum())
    given = BettiMatching(0.3, 0.7, activation="none")(logits.sigmoid(), target)["loss"]
    torch.testing.assert_close(given, each.mean())


@pytest.mark.parametrize("background", [True, False])
def test_one_class_against_the_rest(background: bool) -> None:
    logits = scores(3)
    target = torch.randint(3, (3, 5, 6), generator=torch.Generator().manual_seed(2))
    found = BettiMatching(activation="softmax", background=background)(logits, target)["loss"]
    values = logits.softmax(dim=1)
    each = [
        soft_dice(values[:, k], (target == k).double())
        + 0.5 * betti_matching(values[:, k], (target == k).double())
        for k in range(0 if background else 1, 3)
    ]
    torch.testing.assert_close(found, torch.stack(each).mean())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    logits, target = scores().to(dtype).requires_grad_(), scores(seed=1)[:, 0] > 0
    found = BettiMatching()(logits, target)["loss"]
    assert found.dtype == torch.float32
    expected = BettiMatching()(logits.detach().float(), target)["loss"]
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    found.backward()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("value", [-20.0, 0.0, 200.0])
def test_constant_predictions(value: float) -> None:
    logits = torch.full((1, 1, 4, 4), value, requires_grad=True)
    found = BettiMatching()(logits, RING[None, :4, :4] > 0)["loss"]
    found.backward()
    assert found.isfinite()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"betti_weight": -1.0}, "betti_weight must be a number of at least 0"),
        ({"dice_weight": float("nan")}, "dice_weight must be a number of at least 0"),
        ({"activation": "tanh"}, "activation must be one of sigmoid, softmax, none"),
        ({"levels": "level"}, "levels must be one of superlevel, sublevel, bothlevel"),
        ({"construction": "U"}, "construction must be one of V, T"),
        ({"reduction": "max"}, "reduction must be mean, sum or none"),
        ({"dimensions": ()}, "dimensions must be some of 0 and 1"),
        ({"dimensions": (0, 2)}, "dimensions must be some of 0 and 1"),
        ({"dimensions": (1, 1)}, "dimensions must be some of 0 and 1"),
        ({"min_persistence": 1.0}, r"min_persistence must be in \[0, 1\)"),
    ],
)
def test_ill_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BettiMatching(**options)


@pytest.mark.parametrize(
    ("logits", "target", "message"),
    [
        (torch.zeros(2, 5, 6), torch.zeros(2, 5, 6), "logits must have shape"),
        (torch.zeros(2, 1, 1, 6), torch.zeros(2, 1, 1, 6), "at least 2 x 2 pixels"),
        (torch.zeros(2, 1, 5, 6), torch.zeros(2, 5, 5).long(), "target must hold classes"),
        (torch.zeros(2, 3, 5, 6), torch.zeros(2, 1, 5, 6), "target must hold classes"),
        (torch.zeros(2, 3, 5, 6), torch.full((2, 5, 6), 3), r"lie in \[3, 3\], allowed are 0 to 2"),
        (torch.zeros(2, 1, 5, 6), torch.full((2, 5, 6), -1), r"lie in \[-1, -1\]"),
        (torch.zeros(2, 1, 5, 6), torch.full((2, 1, 5, 6), 1.5), "the target holds values"),
        (
            torch.full((2, 1, 5, 6), float("nan")),
            torch.zeros(2, 5, 6).long(),
            "the prediction holds",
        ),
    ],
)
def test_ill_inputs(logits: Tensor, target: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BettiMatching()(logits, target)


def test_values_out_of_range_without_activation() -> None:
    with pytest.raises(ValueError, match="the prediction holds values that are not in"):
        BettiMatching(activation="none")(torch.full((1, 1, 4, 4), 1.5), torch.zeros(1, 4, 4).long())
