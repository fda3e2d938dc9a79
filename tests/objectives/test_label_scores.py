"""Positive labels in every form of a target, and scores inside a batch."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from trainwright_objectives.decoupled_softmax import DecoupledSoftmax
from trainwright_objectives.label_scores import batch_scores, first_of_each, positives_of
from trainwright_objectives.one_versus_all import OneVersusAll
from trainwright_objectives.soft_topk import SoftTopk

IDS = torch.tensor([[0, 2, -100], [1, -100, -100], [-100, -100, -100], [3, 0, 4]])
DENSE = torch.tensor([[1, 0, 1, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0], [1, 0, 0, 1, 1.0]])


def test_ids_and_dense_numbers_say_the_same() -> None:
    for found in (positives_of(IDS), positives_of(DENSE), positives_of(DENSE.bool())):
        assert torch.equal(found.mask(5), DENSE.bool())
        assert found.counts.tolist() == [2, 1, 0, 3]
    masked = positives_of(IDS.clamp(min=0), mask=IDS >= 0)
    assert torch.equal(masked.mask(5), DENSE.bool())
    assert positives_of(torch.tensor([4, -1]), ignore_index=-1).mask(5).nonzero().tolist() == [
        [0, 4]
    ]


def test_a_mean_over_positives() -> None:
    found = positives_of(torch.tensor([[0.5, 0.0, 1.0], [0.0, 0.0, 0.0]]))
    values = torch.tensor([[3.0, 7.0], [math.nan, math.inf]])
    by_label = {2: 3.0, 0: 7.0}
    assert found.ids[0].tolist() == list(by_label)
    assert found.mean_of(values, weighted=False).tolist() == [5.0, 0.0]
    assert found.mean_of(values, weighted=True).tolist() == [(3.0 + 3.5) / 2, 0.0]


def test_positives_are_drawn_by_weight_without_replacement() -> None:
    torch.manual_seed(0)
    dense = torch.tensor([[0.2, 0.0, 0.8, 0.4], [0.0, 1.0, 0.0, 0.0]]).repeat(4000, 1)
    one = positives_of(dense).sampled(1)
    assert (one.counts == 1).all()
    share = one.mask(4)[::2].float().mean(dim=0)
    expected = torch.tensor([0.2, 0.0, 0.8, 0.4]) / 1.4
    torch.testing.assert_close(share, expected, rtol=0, atol=0.03)
    assert one.mask(4)[1::2].float().mean(dim=0).tolist() == [0.0, 1.0, 0.0, 0.0]
    two = positives_of(dense).sampled(2).mask(4)
    assert two[::2].sum(dim=1).unique().tolist() == [2]
    assert two[1::2].sum(dim=1).unique().tolist() == [1]
    assert positives_of(dense).sampled(3).counts[:2].tolist() == [3, 1]


def test_each_label_of_a_batch_counts_once() -> None:
    """Label 7 stands in two rows, 9 in none."""
    torch.manual_seed(0)
    query, document = torch.randn(4, 3), torch.randn(4, 3)
    label = torch.tensor([7, 2, 7, 5])
    known, first = first_of_each(label)
    assert (known.tolist(), first.tolist()) == ([2, 5, 7], [1, 3, 0])
    target = torch.tensor([[7, 9], [2, 7], [9, -100], [5, 2]])
    scores, positives = batch_scores(query, document, label, positives_of(target))
    torch.testing.assert_close(scores, query @ document[[1, 3, 0]].T)
    expected = [[0, 0, 1], [1, 0, 1], [0, 0, 0], [1, 1, 0]]
    assert positives.mask(3).int().tolist() == expected


@pytest.mark.parametrize("objective", [DecoupledSoftmax, SoftTopk])
def test_reductions_and_queries_without_positives(objective: Any) -> None:
    torch.manual_seed(0)
    logits = torch.randn(4, 9)
    each = objective(reduction="none")(IDS, logits)
    assert each.shape == (4,)
    assert each[2] == 0
    assert (each[[0, 1, 3]] > 0).all()
    torch.testing.assert_close(objective()(IDS, logits), each.sum() / 3)
    torch.testing.assert_close(objective(reduction="sum")(IDS, logits), each.sum())
    assert objective().count(IDS) == 3
    none = logits[2:3].clone().requires_grad_()
    loss = objective()(IDS[2:3], none)
    loss.backward()
    assert loss.item() == 0
    assert not none.grad.any()


@pytest.mark.parametrize("objective", [DecoupledSoftmax, SoftTopk, OneVersusAll])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(objective: Any, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    half = (5 * torch.randn(4, 200)).to(dtype).requires_grad_()
    full = half.detach().double().requires_grad_()
    loss, expected = objective()(IDS, half), objective()(IDS, full)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(half.grad.double(), full.grad, rtol=2e-2, atol=1e-4)


@pytest.mark.parametrize("objective", [DecoupledSoftmax, SoftTopk])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "temperature must be a number above 0"),
        ({"temperature": math.nan}, "temperature must be a number above 0"),
        ({"num_positives": 0}, "num_positives must be None or at least 1"),
        ({"reduction": "average"}, "reduction must be mean, sum or none"),
    ],
)
def test_ill_options(objective: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        objective(**options)


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        (torch.tensor([[5], [0]]), {}, r"target ids lie in \[0, 5\], but there are 5 labels"),
        (torch.tensor([[-1], [0]]), {}, r"target ids lie in \[-1, 0\]"),
        (torch.tensor([[0.5, 1.5]]), {}, r"dense targets must lie in \[0, 1\]"),
        (torch.tensor([0.5, 1.0]), {}, r"dense targets must have shape \(B, L\)"),
        (torch.ones(2, 4), {}, "dense targets must have the shape of the logits"),
        (torch.tensor([1, 2, 3]), {}, r"logits must have shape \(3, L\)"),
    ],
)
def test_ill_targets(target: torch.Tensor, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DecoupledSoftmax(**options)(target, torch.zeros(2, 5))


def test_what_a_batch_needs() -> None:
    objective = DecoupledSoftmax(in_batch=True)
    query, label = torch.eye(2), torch.tensor([0, 1])
    given = {"query": query, "document": query, "label": label}
    assert objective(label, **given).isfinite()
    for name in given:
        with pytest.raises(ValueError, match=f"{name} is missing: with in_batch"):
            objective(label, **{k: v for k, v in given.items() if k != name})
    with pytest.raises(ValueError, match="logits is missing: scores of all labels"):
        DecoupledSoftmax()(label, **given)
    with pytest.raises(ValueError, match="targets must be ids of labels"):
        objective(torch.eye(2), **given)
    with pytest.raises(ValueError, match=r"query must have shape \(2, D\), document \(N, D\)"):
        objective(label, **{**given, "document": query[:1]})
    alone = {**given, "label": torch.tensor([3, 3])}
    with pytest.raises(ValueError, match="one label alone: there is no negative"):
        objective(alone["label"], **alone)
    assert objective.eval()(alone["label"], **alone).item() == 0.0
