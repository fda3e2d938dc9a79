"""Learning by sorting against worked numbers, a slow sorting network, and its invariances."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from trainwright_objectives.groco import (
    GroCo,
    SoftSort,
    group_order_losses,
    similarities,
    soft_sort,
)


def rows(*values: float) -> Tensor:
    return torch.tensor([values], dtype=torch.float64)


def views(count: int, size: int = 12, dim: int = 6, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shared = torch.randn(size, dim, dtype=torch.float64, generator=generator)
    noise = torch.randn(count, size, dim, dtype=torch.float64, generator=generator)
    return [shared + part for part in noise]


def permutation(found: SoftSort) -> Tensor:
    """The probability of each element (row) to have each rank (column), from those of tails."""
    size = found.values.shape[1]
    tails = [found.ranks_from(first) for first in range(size + 1)]
    return torch.stack([tails[c] - tails[c + 1] for c in range(size)], dim=2)


def slow_sort(values: list[float], steepness: float) -> tuple[list[float], list[list[float]]]:
    """The network comparator by comparator: sorted values, and the matrix of rank probabilities."""
    size, x = len(values), list(values)
    matrix = [[float(r == c) for c in range(size)] for r in range(size)]
    for layer in range(size):
        for a in range(layer % 2, size - 1, 2):
            keep = math.atan(steepness * (x[a + 1] - x[a])) / math.pi + 0.5
            for row in [x, *matrix]:
                row[a], row[a + 1] = (
                    keep * row[a] + (1 - keep) * row[a + 1],
                    (1 - keep) * row[a] + keep * row[a + 1],
                )
    return x, matrix


def slow_loss(all_views: list[Tensor], objective: GroCo) -> float:
    """Anchor by anchor with Python floats."""
    unit = [[v / v.norm() for v in view] for view in all_views]
    size = len(unit[0])
    positive_views = unit[: objective.num_positive_views or len(unit)]
    losses = []
    for view in unit:
        for i in range(size):
            positives = sorted(float(view[i] @ u[i]) for u in positive_views if u is not view)
            others = sorted(float(view[i] @ view[j]) for j in range(size) if j != i)
            negatives = others[-objective.num_negatives :]
            _, matrix = slow_sort(negatives + positives, objective.steepness)
            for r, row in enumerate(matrix):
                above = sum(row[len(negatives) :])
                right = above if r >= len(negatives) else 1 - above
                losses.append(-math.log(right) / len(matrix))
    return sum(losses) / (len(unit) * size)


def test_one_pair_has_a_closed_form() -> None:
    value = group_order_losses(rows(0.9), rows(0.1), 1.0).item()
    assert value == pytest.approx(0.335785, abs=1e-6)
    assert value == pytest.approx(-math.log(0.5 + math.atan(0.8) / math.pi), abs=1e-12)


@pytest.mark.parametrize(
    ("steepness", "above", "loss"),
    [
        (1.0, [0.326303, 0.393852, 0.606148, 0.673697], 0.447803),
        (10.0, [0.087061, 0.736564, 0.263436, 0.912939], 0.712516),
    ],
)
def test_worked_groups(steepness: float, above: list[float], loss: float) -> None:
    found = soft_sort(rows(0.1, 0.5, 0.2, 0.6), steepness).ranks_from(2)
    assert found[0].tolist() == pytest.approx(above, abs=1e-6)
    # Two of three negatives count here; the objective chooses them.
    value = group_order_losses(rows(0.2, 0.6), rows(0.5, 0.1), steepness)
    assert value.item() == pytest.approx(loss, abs=1e-6)


def test_worked_soft_sort() -> None:
    values = rows(0.3, -0.2, 0.7, 0.1)
    found = soft_sort(values, 1.0)
    assert found.values[0].tolist() == pytest.approx(
        [0.072731, 0.203573, 0.237301, 0.386395], abs=1e-6
    )
    ranks = permutation(found)[0]
    assert ranks[0].tolist() == pytest.approx([0.355289, 0.276472, 0.249365, 0.118874], abs=1e-6)
    torch.testing.assert_close(found.values.sum(), values.sum(), rtol=0, atol=1e-12)
    torch.testing.assert_close(values @ ranks, found.values, rtol=0, atol=1e-12)
    for dim in (0, 1):
        torch.testing.assert_close(ranks.sum(dim), torch.ones(4).double(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("steepness", [0.1, 1.0, 1e3])
def test_worked_equal_similarities(steepness: float) -> None:
    equal = rows(0.4, 0.4, 0.4, 0.4, 0.4)
    above = soft_sort(equal, steepness).ranks_from(3)[0].tolist()
    assert above == pytest.approx([0.218750, 0.218750, 0.468750, 0.468750, 0.625000], abs=1e-12)
    value = group_order_losses(equal[:, :2], equal[:, 2:], steepness)
    assert value.item() == pytest.approx(0.470786, abs=1e-6)


def test_hard_comparisons_leave_an_ordered_row_alone() -> None:
    negative, positive = rows(-0.5, -0.1, 0.2), rows(0.3, 0.9)
    assert group_order_losses(positive, negative, 1e8).item() < 1e-6
    ranks = permutation(soft_sort(torch.cat([negative, positive], dim=1), 1e8))[0]
    torch.testing.assert_close(ranks, torch.eye(5).double(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [1, 2, 3, 6, 7])
def test_the_network_equals_a_slow_one(size: int) -> None:
    values = torch.randn(
        4, size, dtype=torch.float64, generator=torch.Generator().manual_seed(size)
    )
    found = soft_sort(values, 2.0)
    for row, given in enumerate(values.tolist()):
        ordered, matrix = slow_sort(given, 2.0)
        assert found.values[row].tolist() == pytest.approx(ordered, rel=1e-10, abs=1e-12)
        for first in range(size + 1):
            above = found.ranks_from(first)[row].tolist()
            assert above == pytest.approx([sum(r[first:]) for r in matrix], rel=1e-10, abs=1e-12)


def test_a_worked_batch() -> None:
    torch.manual_seed(0)
    first, second = (torch.randn(16, 8, dtype=torch.float64) for _ in range(2))
    assert GroCo()(first, second)["loss"].item() == pytest.approx(0.209172, abs=1e-6)


@pytest.mark.parametrize(
    ("count", "options"),
    [
        (2, {"num_negatives": 4}),
        (2, {"num_negatives": 1, "steepness": 5.0, "stop_gradient": False}),
        (4, {"num_negatives": 3}),
        (4, {"num_negatives": 3, "num_positive_views": 2}),
        (2, {"num_negatives": 99}),
    ],
)
def test_the_batch_equals_slow_loops(count: int, options: dict[str, Any]) -> None:
    given, objective = views(count), GroCo(**options)
    further = torch.stack(given[2:], dim=1) if count > 2 else None
    expected = slow_loss(given, objective)
    found = objective(given[0], given[1], further)["loss"]
    assert found.item() == pytest.approx(expected, rel=1e-10)
    single = objective(given[0].float(), given[1].float(), further)["loss"]
    assert single.item() == pytest.approx(expected, rel=1e-5)


def test_what_is_recorded() -> None:
    query, document = views(2)
    found = GroCo(num_negatives=5)(query, document)
    lows, highs = [], []
    for anchor, other in ((query, document), (document, query)):
        cosines = torch.cosine_similarity(anchor[:, None], anchor[None], dim=2)
        highs.append(cosines.fill_diagonal_(-1.0).amax(dim=1))
        lows.append(torch.cosine_similarity(anchor, other, dim=1))
    low, high = torch.cat(lows), torch.cat(highs)
    assert found["smallest_positive"].item() == pytest.approx(low.mean().item())
    assert found["hardest_negative"].item() == pytest.approx(high.mean().item())
    assert found["gap"].item() == pytest.approx((low - high).mean().item())
    assert found["misordered"].item() == pytest.approx((low < high).double().mean().item())
    assert 0 < found["misordered"].item() < 1
    assert not any(found[name].requires_grad for name in found if name != "loss")


def test_order_inside_a_group_and_far_negatives_do_not_count() -> None:
    positive, negative = rows(0.2, 0.6, -0.1), rows(0.5, 0.1, 0.4)
    before = group_order_losses(positive, negative, 2.0)
    after = group_order_losses(positive.flip(1), negative[:, [2, 0, 1]], 2.0)
    torch.testing.assert_close(after, before, rtol=0, atol=1e-12)


def test_images_beyond_the_hardest_do_not_count() -> None:
    anchor, other, more = (normalize(v, dim=1) for v in views(3))
    _, negative = similarities(anchor, [other], 3, True)
    added = torch.cat([anchor, more[:1]]), torch.cat([other, more[:1]])
    _, changed = similarities(added[0], [added[1]], 3, True)
    same = torch.isclose(changed[:-1], negative).all(dim=1)
    assert torch.equal(same, anchor @ more[0] <= negative[:, -1])
    assert same.any()
    assert not same.all()


def test_length_does_not_count() -> None:
    query, document = views(2)
    objective = GroCo(num_negatives=3)
    torch.testing.assert_close(
        objective(3 * query, 0.01 * document)["loss"], objective(query, document)["loss"]
    )


@pytest.mark.parametrize("stop_gradient", [True, False])
def test_only_the_anchor_is_moved(stop_gradient: bool) -> None:
    anchor, other = (normalize(v, dim=1).requires_grad_() for v in views(2))
    positive, negative = similarities(anchor, [other], 3, stop_gradient)
    group_order_losses(positive, negative, 1.0).mean().backward()
    assert anchor.grad.abs().min() > 0
    assert (other.grad is None) == stop_gradient


def test_gradient_with_standing_candidates_is_that_of_the_anchors() -> None:
    """Against finite differences of a loss whose candidates are held fixed by hand."""
    query, document = views(2, size=5, dim=3)
    unit = [normalize(v, dim=1) for v in (query, document)]

    def held(*anchors: Tensor) -> Tensor:
        total: Tensor = torch.zeros((), dtype=torch.float64)
        for anchor, fixed, other in zip(anchors, unit, reversed(unit), strict=True):
            cosines = normalize(anchor, dim=1) @ torch.cat([fixed, other]).T
            positive = cosines[:, 5:].diagonal()[:, None]
            negative = cosines[:, :5][~torch.eye(5, dtype=torch.bool)].reshape(5, 4)
            total = total + group_order_losses(positive, negative, 1.0).mean() / 2
        return total

    leaves = [v.clone().requires_grad_() for v in (query, document)]
    assert torch.autograd.gradcheck(held, leaves)
    expected = torch.autograd.grad(held(*leaves), leaves)
    found = torch.autograd.grad(GroCo(num_negatives=4)(*leaves)["loss"], leaves)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("steepness", [1.0, 10.0])
def test_gradcheck(steepness: float) -> None:
    query, document = (v.requires_grad_() for v in views(2, size=4, dim=3))
    objective = GroCo(num_negatives=2, steepness=steepness, stop_gradient=False)
    assert torch.autograd.gradcheck(lambda q, d: objective(q, d)["loss"], (query, document))
