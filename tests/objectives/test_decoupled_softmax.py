"""The decoupled softmax against worked numbers, its formula by hand, and its invariances."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from trainwright_objectives.decoupled_softmax import DecoupledSoftmax

SCORES = [[2.0, 1.0, 0.5, -1.0, 0.0]]
POSITIVES = torch.tensor([[0, 2]])


def worked() -> Tensor:
    return torch.tensor(SCORES, dtype=torch.float64, requires_grad=True)


def random_case(size: int = 6, num_labels: int = 11) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(size, num_labels, dtype=torch.float64, generator=generator)
    dense = (torch.rand(size, num_labels, generator=generator) < 0.3).float()
    return scores.requires_grad_(), dense


def by_hand(scores: list[float], positive: list[float], weighted: bool = False) -> float:
    chosen = [j for j, y in enumerate(positive) if y > 0]
    rest = sum(math.exp(s) for j, s in enumerate(scores) if j not in chosen)
    parts = [-math.log(math.exp(scores[j]) / (math.exp(scores[j]) + rest)) for j in chosen]
    if weighted:
        parts = [positive[j] * part for j, part in zip(chosen, parts, strict=True)]
    return sum(parts) / max(1, len(parts))


def test_worked_value_and_gradient() -> None:
    scores = worked()
    loss = DecoupledSoftmax()(POSITIVES, scores)
    assert loss.item() == pytest.approx(0.843378, abs=1e-6)
    loss.backward()
    expected = [-0.1780, 0.3554, -0.3563, 0.0481, 0.1308]
    assert scores.grad[0].tolist() == pytest.approx(expected, abs=5e-5)


def test_the_ordinary_softmax_holds_an_easy_positive_down() -> None:
    """The sum over positives of the worked numbers; the loss is their mean."""
    scores = worked()
    loss = 2 * DecoupledSoftmax(coupled=True)(POSITIVES, scores)
    assert loss.item() == pytest.approx(2.648876, abs=1e-6)
    loss.backward()
    assert scores.grad[0, 0].item() == pytest.approx(0.1260, abs=5e-5)
    probability = scores.detach().softmax(dim=1)[0, 0].item()
    assert scores.grad[0, 0].item() == pytest.approx(2 * probability - 1)


def test_with_one_positive_it_is_cross_entropy() -> None:
    for coupled in (False, True):
        scores = worked()
        loss = DecoupledSoftmax(coupled=coupled)(torch.tensor([1]), scores)
        assert loss.item() == pytest.approx(1.574438, abs=1e-6)
        assert loss.item() == pytest.approx(
            functional.cross_entropy(scores, torch.tensor([1])).item(), rel=1e-12
        )


def test_random_scores_equal_slow_loops() -> None:
    scores, dense = random_case()
    each = DecoupledSoftmax(reduction="none")(dense, scores)
    expected = [by_hand(s, y) for s, y in zip(scores.tolist(), dense.tolist(), strict=True)]
    assert each.tolist() == pytest.approx(expected, rel=1e-10)
    single = DecoupledSoftmax(reduction="none")(dense, scores.detach().float())
    assert single.tolist() == pytest.approx(expected, rel=1e-5)
    soft = dense * torch.linspace(0.1, 1.0, dense.shape[1])
    weighted = DecoupledSoftmax(weighted=True, reduction="none")(soft, scores)
    expected = [by_hand(s, y, True) for s, y in zip(scores.tolist(), soft.tolist(), strict=True)]
    assert weighted.tolist() == pytest.approx(expected, rel=1e-6)
    cooler = DecoupledSoftmax(temperature=0.5, reduction="none")(dense, scores)
    expected = [by_hand(s, y) for s, y in zip((2 * scores).tolist(), dense.tolist(), strict=True)]
    assert cooler.tolist() == pytest.approx(expected, rel=1e-10)


def test_it_is_the_mean_of_cross_entropies_without_the_other_positives() -> None:
    scores, dense = random_case()
    for row, positive in zip(scores.detach(), dense, strict=True):
        chosen = positive.nonzero().flatten().tolist()
        parts = []
        for j in chosen:
            others = [k for k in range(len(row)) if k == j or not positive[k]]
            parts.append(functional.cross_entropy(row[others], torch.tensor(others.index(j))))
        loss = DecoupledSoftmax()(positive[None], row[None])
        torch.testing.assert_close(loss, torch.stack(parts).mean())


@pytest.mark.parametrize("coupled", [False, True])
def test_gradcheck_and_a_gradient_that_adds_up_to_nothing(coupled: bool) -> None:
    scores, dense = random_case(3, 6)
    objective = DecoupledSoftmax(coupled=coupled)
    assert torch.autograd.gradcheck(lambda s: objective(dense, s), scores)
    objective(dense, scores).backward()
    assert scores.grad.abs().max() > 1e-3
    assert scores.grad.sum(dim=1).abs().max() < 1e-12
    if not coupled:
        assert (scores.grad[dense.bool()] < 0).all()


def test_constants_and_the_order_of_labels_do_not_count() -> None:
    scores, dense = random_case()
    before = DecoupledSoftmax()(dense, scores)
    moved = scores + torch.arange(6.0)[:, None]
    torch.testing.assert_close(DecoupledSoftmax()(dense, moved), before)
    order = torch.randperm(11, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(DecoupledSoftmax()(dense[:, order], scores[:, order]), before)


def test_without_negatives_nothing_is_lost() -> None:
    scores = worked()
    loss = DecoupledSoftmax()(torch.ones(1, 5), scores)
    loss.backward()
    assert loss.item() == 0
    assert not scores.grad.any()


def test_far_scores_are_excluded_all_the_same() -> None:
    """Below the -100 that marks excluded scores elsewhere."""
    scores = torch.tensor([[-400.0, -300.0, -301.0]], dtype=torch.float64)
    loss = DecoupledSoftmax()(torch.tensor([[0, 1]]), scores)
    expected = (math.log1p(math.exp(99)) + math.log1p(math.exp(-1))) / 2
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_drawn_positives_count_in_training_alone_and_are_in_no_denominator() -> None:
    torch.manual_seed(0)
    scores, dense = torch.randn(1, 11), torch.zeros(1, 11)
    dense[0, :3] = 1
    objective = DecoupledSoftmax(num_positives=1)
    drawn = {round(objective(dense, scores).item(), 5) for _ in range(60)}
    one_each = []
    for j in range(3):
        kept = [j, *range(3, 11)]
        one_each.append(functional.cross_entropy(scores[:, kept], torch.tensor([0])).item())
    assert sorted(drawn) == pytest.approx(sorted(one_each), abs=2e-5)
    full = objective.eval()(dense, scores)
    torch.testing.assert_close(full, DecoupledSoftmax()(dense, scores))


def test_scores_and_targets_are_left_as_they_are() -> None:
    scores, dense = random_case()
    kept = scores.detach().clone(), dense.clone()
    DecoupledSoftmax()(dense, scores.detach())
    assert torch.equal(scores.detach(), kept[0])
    assert torch.equal(dense, kept[1])
