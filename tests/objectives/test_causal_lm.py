"""The language modelling loss against its definition, token by token."""

from __future__ import annotations

import math
import re

import pytest
import torch
from torch.nn import functional

from trainwright_objectives.causal_lm import CausalLM, causal_lm


def sequences(batch: int = 3, length: int = 5, vocabulary: int = 7, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(batch, length, vocabulary, dtype=torch.float64, generator=generator)
    target = torch.randint(vocabulary, (batch, length), generator=generator)
    return logits, target


def by_hand(logits: torch.Tensor, target: torch.Tensor, smoothing: float, ignored: int):
    """(sum, count) of each sequence, with Python floats."""
    result = []
    for row, tokens in zip(logits.tolist(), target.tolist(), strict=True):
        total, count = 0.0, 0
        for scores, token in zip(row, tokens, strict=True):
            if token == ignored:
                continue
            normaliser = math.log(sum(math.exp(score) for score in scores))
            each = [normaliser - score for score in scores]
            total += (1 - smoothing) * each[token] + smoothing * sum(each) / len(each)
            count += 1
        result.append((total, count))
    return result


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("ignored", [-100, 2])
def test_definition(smoothing: float, ignored: int) -> None:
    logits, target = sequences()
    target[0, 3:], target[1, :] = ignored, ignored
    rows = by_hand(logits, target, smoothing, ignored)
    total, count = sum(t for t, _ in rows), sum(c for _, c in rows)
    assert 0 < count < target.numel()
    options = {"ignore_index": ignored, "label_smoothing": smoothing}
    assert causal_lm(logits, target, **options).item() == pytest.approx(total / count, rel=1e-12)
    summed = causal_lm(logits, target, **options, reduction="sum")
    assert summed.item() == pytest.approx(total, rel=1e-12)
    each = causal_lm(logits, target, **options, reduction="none")
    assert each.tolist() == pytest.approx([t / max(c, 1) for t, c in rows], rel=1e-12)
    assert CausalLM(**options).count(target).item() == count


def test_uniform_prediction_costs_the_logarithm_of_the_vocabulary() -> None:
    loss = CausalLM()(torch.zeros(2, 3, 257), torch.randint(257, (2, 3)))
    assert loss.item() == pytest.approx(math.log(257), rel=1e-6)


def test_it_is_torch_s_cross_entropy_over_tokens() -> None:
    logits, target = sequences(8, 16, 33)
    target[target == 4] = -100
    for dtype, tolerance in ((torch.float64, 1e-14), (torch.float32, 1e-6)):
        reference = functional.cross_entropy(logits.to(dtype).flatten(0, 1), target.flatten())
        loss = causal_lm(logits.to(dtype), target)
        torch.testing.assert_close(loss, reference, rtol=tolerance, atol=0)


def test_what_is_ignored_gets_no_gradient() -> None:
    logits, target = sequences()
    target[1, 2:] = -100
    logits.requires_grad_()
    causal_lm(logits, target).backward()
    assert torch.equal(logits.grad[1, 2:], torch.zeros_like(logits.grad[1, 2:]))
    assert (logits.grad[0].abs().sum(dim=1) > 0).all()
    assert logits.grad.sum(dim=2).abs().max() < 1e-12


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_nothing_to_count_is_zero_with_a_gradient(reduction: str) -> None:
    logits, target = sequences()
    loss = causal_lm(
        logits.requires_grad_(), torch.full_like(target, -100), reduction=reduction
    ).sum()
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_gradcheck() -> None:
    logits, target = sequences(2, 3, 4)
    target[0, 0] = -100
    for options in ({}, {"reduction": "none"}, {"label_smoothing": 0.2}):
        assert torch.autograd.gradcheck(
            lambda x, o=options: causal_lm(x, target, **o), logits.clone().requires_grad_()
        )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    logits, target = sequences(4, 6, 50)
    half = (logits * 3).to(dtype)
    loss = causal_lm(half, target)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(causal_lm(half.double(), target).item(), rel=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_smoothing": 1.0}, "label_smoothing must be"),
        ({"label_smoothing": -0.1}, "label_smoothing must be"),
        ({"reduction": "average"}, "mean, sum or none"),
    ],
)
def test_ill_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CausalLM(**options)


@pytest.mark.parametrize(
    ("logits", "target", "message"),
    [
        (torch.zeros(3, 4), torch.zeros(3, 4).long(), "(batch, tokens, vocabulary)"),
        (torch.zeros(3, 4, 5), torch.zeros(3, 3).long(), "shape (3, 4)"),
        (torch.zeros(3, 4, 5), torch.zeros(3, 4), "integer type"),
        (torch.zeros(1, 2, 5), torch.tensor([[0, 5]]), "[0, 5], but there are 5 outputs"),
        (torch.zeros(1, 2, 5), torch.tensor([[-1, 4]]), "[-1, 4], but there are 5 outputs"),
    ],
)
def test_ill_inputs(logits: torch.Tensor, target: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        causal_lm(logits, target)
