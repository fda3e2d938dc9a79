"""The contrastive losses against worked numbers, slow loops, their limits and invariances."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from trainwright_objectives.contrastive import (
    Candidates,
    Contrastive,
    candidates,
    hardest,
    simple_losses,
    softmax_losses,
)

NEGATIVES = (0.5, 0.2, -0.1, -0.6)


def worked(positive: float = 0.8) -> Candidates:
    """One anchor with its positive and four negatives."""
    first = torch.tensor([positive], dtype=torch.float64, requires_grad=True)
    others = torch.tensor([NEGATIVES], dtype=torch.float64, requires_grad=True)
    return Candidates(first, others, len(NEGATIVES))


def loss_of(found: Candidates, temperature: float, kept_fraction: float = 1.0) -> Tensor:
    kept = hardest(found.negative, found.num_negatives, kept_fraction)
    return softmax_losses(found, kept, temperature)


def views(size: int, dim: int = 5, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    first = torch.randn(size, dim, dtype=torch.float64, generator=generator)
    return first, first + 0.7 * torch.randn(size, dim, dtype=torch.float64, generator=generator)


def by_hand(query: Tensor, document: Tensor, objective: Contrastive) -> float:
    """Every anchor, negative by negative, with Python floats."""
    size = len(query)
    everything = [(i, v) for x in (query, document) for i, v in enumerate(x)]
    if objective.symmetric:
        pairs = [
            (v, everything[(k + size) % (2 * size)][1], i) for k, (i, v) in enumerate(everything)
        ]
        others = everything
    else:
        pairs = [(query[i], document[i], i) for i in range(size)]
        others = list(enumerate(document))
    losses = [
        _one(
            _cosine(anchor, positive),
            sorted((_cosine(anchor, v) for j, v in others if j != i), reverse=True),
            objective,
        )
        for anchor, positive, i in pairs
    ]
    return sum(losses) / len(losses)


def _cosine(a: Tensor, b: Tensor) -> float:
    return float(a @ b) / math.sqrt(float(a @ a) * float(b @ b))


def _one(positive: float, negatives: list[float], objective: Contrastive) -> float:
    kept = negatives[: max(1, math.ceil(objective.kept_fraction * len(negatives)))]
    if objective.form == "simple":
        weight = objective.negative_weight
        return -positive + (1 / len(kept) if weight is None else weight) * sum(kept)
    scale = objective.temperature
    top = math.exp(positive / scale)
    return -math.log(top / (top + sum(math.exp(s / scale) for s in kept)))


OPTIONS: list[dict[str, Any]] = [
    {},
    {"temperature": 0.07, "symmetric": False},
    {"temperature": 1.0, "kept_fraction": 0.3},
    {"kept_fraction": 0.01, "symmetric": False},
    {"form": "simple"},
    {"form": "simple", "negative_weight": 0.2, "symmetric": False},
    {"form": "simple", "kept_fraction": 0.4},
]


@pytest.mark.parametrize(
    ("temperature", "loss", "entropy"),
    [(0.07, 0.013859, 0.073637), (0.3, 0.446227, 0.903462), (1.0, 1.079360, 1.314058)],
)
def test_worked_values(temperature: float, loss: float, entropy: float) -> None:
    found = worked()
    value = loss_of(found, temperature)
    assert value.item() == pytest.approx(loss, abs=1e-6)
    value.backward()
    shares = found.negative.grad / -found.positive.grad
    assert float(-(shares * shares.log()).sum()) == pytest.approx(entropy, abs=1e-6)


def test_worked_gradient_is_shared_out_as_a_softmax() -> None:
    found = worked()
    loss_of(found, 0.3).backward()
    assert found.positive.grad.item() == pytest.approx(-1.199871, abs=1e-6)
    assert found.negative.grad[0].tolist() == pytest.approx(
        [0.784857, 0.288733, 0.106219, 0.020062], abs=1e-6
    )
    assert found.negative.grad.sum().item() == pytest.approx(-found.positive.grad.item(), abs=1e-12)
    logits = torch.cat([found.positive[:, None], found.negative], dim=1).detach() / 0.3
    torch.testing.assert_close(
        found.negative.grad, logits.softmax(dim=1)[:, 1:] / 0.3, rtol=0, atol=1e-12
    )
    shares = found.negative.grad / -found.positive.grad
    assert shares[0].tolist() == pytest.approx([0.654118, 0.240637, 0.088525, 0.016720], abs=1e-6)


def test_a_small_temperature_is_the_triplet_loss_without_margin() -> None:
    for temperature, expected in ((0.05, 0.201029), (0.01, 0.200000)):
        value = temperature * loss_of(worked(0.3), temperature).item()
        assert value == pytest.approx(expected, abs=1e-6)
    assert 0.01 * loss_of(worked(0.8), 0.01).item() == pytest.approx(0.0, abs=1e-12)


def test_a_large_temperature_is_the_simple_loss() -> None:
    """Up to a constant and a scale, with an error that falls as 1 / tau^2."""
    for temperature, error in ((10.0, 1.17e-3), (100.0, 1.17e-5), (1000.0, 1.17e-7)):
        found = worked()
        simple = simple_losses(found, hardest(found.negative, 4, 1.0), None).item()
        approximation = 4 / (5 * temperature) * simple + math.log(5)
        assert loss_of(found, temperature).item() - approximation == pytest.approx(error, rel=0.01)


def test_worked_hard_and_simple_values() -> None:
    found = worked()
    value = loss_of(found, 0.3, kept_fraction=0.5)
    assert value.item() == pytest.approx(0.407606, abs=1e-6)
    value.backward()
    shares = found.negative.grad / -found.positive.grad
    assert shares[0].tolist() == pytest.approx([0.731059, 0.268941, 0, 0], abs=1e-6)
    everything = hardest(found.negative, 4, 1.0)
    assert simple_losses(found, everything, 0.25).item() == pytest.approx(-0.8, abs=1e-12)


def test_the_kept_fraction_is_rounded_up_and_keeps_ties() -> None:
    negative = torch.tensor([[0.5, 0.2, 0.2, -0.6, -math.inf]])
    for fraction, kept in (
        (0.01, 1),
        (0.25, 1),
        (0.26, 3),
        (0.5, 3),
        (0.75, 3),
        (0.76, 4),
        (1.0, 4),
    ):
        assert int(hardest(negative, 4, fraction).sum()) == kept, fraction
    assert int(hardest(torch.arange(100.0)[None], 100, 0.07).sum()) == 7


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_batch_equals_slow_loops(options: dict[str, Any]) -> None:
    query, document = views(7)
    objective = Contrastive(**options)
    expected = by_hand(query, document, objective)
    assert objective(query, document).item() == pytest.approx(expected, rel=1e-10)
    single = objective(query.float(), document.float()).item()
    assert single == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_gradcheck(options: dict[str, Any]) -> None:
    query, document = views(4, 3)
    objective = Contrastive(**options)
    assert torch.autograd.gradcheck(objective, (query.requires_grad_(), document.requires_grad_()))


def test_keeping_all_is_the_plain_loss_exactly() -> None:
    query, document = views(6)
    found = candidates(*(functional.normalize(x, dim=1) for x in (query, document)))
    assert torch.equal(loss_of(found, 0.3, 1.0), loss_of(found, 0.3, 0.999))
    plain = torch.cat([found.positive[:, None], found.negative], dim=1) / 0.3
    expected = functional.cross_entropy(plain, torch.zeros(12, dtype=torch.int64))
    torch.testing.assert_close(Contrastive()(query, document), expected)


def test_only_angles_between_embeddings_count() -> None:
    query, document = views(6)
    rotation = torch.linalg.qr(views(5)[0]).Q
    objective = Contrastive(kept_fraction=0.4)
    before = objective(query, document)
    torch.testing.assert_close(objective(query @ rotation, document @ rotation), before)
    torch.testing.assert_close(objective(3 * query, 0.1 * document), before)


def test_a_bank_takes_the_place_of_the_batch() -> None:
    query, document = views(3)
    bank, _ = views(11, seed=1)
    unit, other, kept = (functional.normalize(x, dim=1) for x in (query, document, bank))
    for symmetric in (True, False):
        anchors = torch.cat([unit, other]) if symmetric else unit
        positives = torch.cat([other, unit]) if symmetric else other
        logits = torch.cat([(anchors * positives).sum(1, keepdim=True), anchors @ kept.T], 1) / 0.3
        expected = functional.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.int64))
        found = Contrastive(symmetric=symmetric)(query, document, bank)
        torch.testing.assert_close(found, expected)
    assert Contrastive()(query[:1], document[:1], bank).isfinite()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    query, document = (x.to(dtype).requires_grad_() for x in views(64, 16))
    exact = [x.detach().double().requires_grad_() for x in (query, document)]
    objective = Contrastive(temperature=0.01)
    loss, expected = objective(query, document), objective(*exact)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(query.grad.double(), exact[0].grad, rtol=2e-2, atol=1e-3)


def test_far_apart_similarities_stay_finite_and_exact() -> None:
    found = worked()
    assert loss_of(found, 1e-4).item() == 0.0
    loss_of(found, 1e-4).backward()
    assert found.negative.grad.isfinite().all()
    assert 1e-4 * loss_of(worked(-1.0), 1e-4).item() == pytest.approx(1.5, rel=1e-12)


def test_degenerate_batches() -> None:
    same = torch.ones(5, 3, requires_grad=True)
    loss = Contrastive()(same, same)
    assert loss.item() == pytest.approx(math.log(9), rel=1e-6)
    loss.backward()
    assert same.grad.isfinite().all()
    zeros = torch.zeros(3, 4, requires_grad=True)
    Contrastive()(zeros, zeros).backward()
    assert zeros.grad.isfinite().all()


def test_one_sample_is_refused_in_training_and_costs_nothing_in_evaluation() -> None:
    objective, (query, document) = Contrastive(), views(1)
    with pytest.raises(ValueError, match="no negatives in its batch"):
        objective(query, document)
    assert objective.eval()(query, document).item() == 0.0
    simple = Contrastive(form="simple").eval()
    assert simple(query, query).item() == pytest.approx(-1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "temperature must be a number above 0"),
        ({"temperature": math.inf}, "temperature must be a number above 0"),
        ({"form": "hard"}, "form must be softmax or simple, got 'hard'"),
        ({"kept_fraction": 0.0}, "kept_fraction must be above 0 and at most 1"),
        ({"kept_fraction": 1.1}, "kept_fraction must be above 0 and at most 1"),
        ({"form": "simple", "negative_weight": -0.1}, "negative_weight must be None or"),
        ({"form": "simple", "negative_weight": math.nan}, "negative_weight must be None or"),
        ({"negative_weight": 0.1}, "negative_weight belongs to form: simple"),
    ],
)
def test_ill_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Contrastive(**options)


def test_ill_embeddings() -> None:
    query, document = views(4)
    with pytest.raises(ValueError, match=r"one shape \(B, D\), got \(4, 5\) and \(3, 5\)"):
        Contrastive()(query, document[:3])
    with pytest.raises(ValueError, match=r"negatives must have shape \(K, 5\), got \(4, 4\)"):
        Contrastive()(query, document, query[:, :4])
    with pytest.raises(ValueError, match="document holds numbers that are not finite"):
        Contrastive()(query, document * math.nan)
    with pytest.raises(ValueError, match="rows of query must have length 1, got one that is off"):
        Contrastive(normalize=False)(query, document)
    with pytest.raises(ValueError, match="off by nan"):
        Contrastive(normalize=False)(query * math.nan, document)
    unit = functional.normalize(query, dim=1)
    with pytest.raises(ValueError, match=r"off by 0\.0[23]"):
        Contrastive(normalize=False)(1.025 * unit, unit)
    torch.testing.assert_close(
        Contrastive(normalize=False)(unit, unit), Contrastive()(query, query)
    )
