"""One versus all against torch's binary cross-entropy."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from trainwright_objectives.one_versus_all import OneVersusAll


def random_case() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(6, 9, dtype=torch.float64, generator=generator)
    dense = torch.rand(6, 9, generator=generator)
    dense = dense * (dense > 0.6)
    dense[:, 0] = 1.0  # no query without a positive
    return scores.requires_grad_(), dense


def test_it_is_the_binary_cross_entropy_of_each_label() -> None:
    scores, dense = random_case()
    found = OneVersusAll(temperature=0.5)(dense, scores)
    expected = functional.binary_cross_entropy_with_logits(scores / 0.5, dense.double())
    assert found.item() == pytest.approx(expected.item(), rel=1e-10)
    [grad] = torch.autograd.grad(found, scores)
    torch.testing.assert_close(grad, torch.autograd.grad(expected, scores)[0])
    single = OneVersusAll(temperature=0.5)(dense, scores.detach().float())
    assert single.item() == pytest.approx(expected.item(), rel=1e-5)
    assert torch.autograd.gradcheck(lambda s: OneVersusAll()(dense, s), scores)


def test_queries_without_positives_are_left_out() -> None:
    scores, dense = random_case()
    dense[2] = 0
    each = OneVersusAll(reduction="none")(dense, scores)
    expected = functional.binary_cross_entropy_with_logits(
        scores, dense.double(), reduction="none"
    ).mean(dim=1)
    expected[2] = 0
    torch.testing.assert_close(each, expected)
    torch.testing.assert_close(OneVersusAll()(dense, scores), expected.sum() / 5)


def test_ids_in_the_batch() -> None:
    """Two rows have the document of label 7, of which the first counts; 9 has none."""
    generator = torch.Generator().manual_seed(0)
    query, document = (torch.randn(3, 4, generator=generator) for _ in range(2))
    target = torch.tensor([[7, 9], [2, 7], [2, -100]])
    label = torch.tensor([7, 2, 7])
    found = OneVersusAll(in_batch=True)(target, query=query, document=document, label=label)
    dense = torch.tensor([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0]])
    expected = functional.binary_cross_entropy_with_logits(query @ document[[1, 0]].T, dense)
    torch.testing.assert_close(found, expected)
