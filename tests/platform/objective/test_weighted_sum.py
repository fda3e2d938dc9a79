"""Means over the global batch, however it is cut; sums; per-sample values."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from trainwright.errors import PluginError
from trainwright.objective import Share, Term, WeightedSum


class TokenLoss(nn.Module):
    """A mean over the tokens that a mask keeps."""

    count = "mask"
    reduction = "mean"

    def forward(self, logits: Tensor, target: Tensor, mask: Tensor) -> dict[str, Tensor]:
        each = nn.functional.cross_entropy(logits.transpose(1, 2), target, reduction="none")
        if self.reduction == "none":
            return {"loss": each * mask}
        return {"loss": (each * mask).sum() / mask.sum(), "kept": mask.mean()}


class PairLoss(nn.Module):
    """A mean over pairs; says itself how many there are."""

    couples = "group"

    def forward(self, logits: Tensor, weight: Tensor) -> Tensor:
        return (logits[:, 0] * weight).sum() / weight.sum()

    def count(self, weight: Tensor) -> Tensor:
        return weight.sum()


def _batch(
    seed: int, size: int, tokens: int = 3, classes: int = 4
) -> tuple[Tensor, dict[str, Any]]:
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(0, classes, (size, tokens), generator=generator)
    mask = (torch.rand(size, tokens, generator=generator) > 0.4).double()
    mask[0, 0] = 1
    weight = torch.rand(size, generator=generator).double() + 0.1
    logits = torch.randn(size, tokens, classes, generator=generator).double()
    return logits, {"target": target, "mask": mask, "weight": weight}


def _pieces(
    total: WeightedSum, logits: Tensor, batch: dict[str, Tensor], cuts: list[int]
) -> Tensor:
    """The loss as the loop builds it: each part by its share, added up."""
    bounds = [0, *sorted(cuts), len(logits)]
    parts = [slice(a, b) for a, b in itertools.pairwise(bounds) if b > a]
    batches = [{name: column[part] for name, column in batch.items()} for part in parts]
    counts = torch.stack([total.count(item) for item in batches])
    ratios = counts / counts.sum(dim=0)
    value = torch.zeros((), dtype=torch.float64)
    for part, item, ratio in zip(parts, batches, ratios, strict=True):
        share = Share((part.stop - part.start) / len(logits), ratio)
        value = value + total({"logits": logits[part]}, item, share).value * share.samples
    return value


def _ce(**options: Any) -> nn.Module:
    class Flat(nn.CrossEntropyLoss):
        def forward(self, input: Tensor, target: Tensor) -> Tensor:
            return super().forward(input.transpose(1, 2), target)

    return Flat(**options)


TERMS: dict[str, Any] = {
    "tokens": lambda: Term(TokenLoss(), "tokens"),
    "pairs": lambda: Term(PairLoss(), "pairs", bind={"logits": "logits"}),
    "plain": lambda: Term(_ce(), "plain"),
    "ignoring": lambda: Term(_ce(ignore_index=2), "ignoring"),
    "weighted": lambda: Term(
        _ce(weight=torch.tensor([1.0, 2.0, 0.5, 3.0]).double()), "weighted", weight=0.3
    ),
    "smoothed": lambda: Term(
        _ce(weight=torch.tensor([1.0, 2.0, 0.5, 3.0]).double(), label_smoothing=0.1), "smoothed"
    ),
    "summed": lambda: Term(_ce(reduction="sum"), "summed"),
}


def _total(names: list[str]) -> WeightedSum:
    terms = [TERMS[name]() for name in names]
    for term in terms:
        if term.name == "pairs":
            term.objective.forward = lambda logits, weight: (
                (logits[:, 0, 0] * weight).sum() / weight.sum()
            )
    return WeightedSum(terms)


@settings(max_examples=60, deadline=None)
@given(
    names=st.lists(st.sampled_from(sorted(TERMS)), min_size=1, max_size=3, unique=True),
    seed=st.integers(0, 10_000),
    size=st.integers(2, 12),
    cuts=st.lists(st.integers(1, 11), max_size=4),
)
def test_any_cut_gives_the_mean_over_the_whole_batch(
    names: list[str], seed: int, size: int, cuts: list[int]
) -> None:
    total = _total(names)
    logits, batch = _batch(seed, size)
    logits.requires_grad_()
    whole = total({"logits": logits}, batch).value
    (expected,) = torch.autograd.grad(whole, logits)
    cut = _pieces(total, logits, batch, [c for c in cuts if c < size])
    (gradient,) = torch.autograd.grad(cut, logits)
    assert cut.item() == pytest.approx(whole.item(), rel=1e-12)
    assert torch.allclose(gradient, expected, atol=1e-12)


def test_a_micro_batch_in_which_nothing_counts_adds_nothing() -> None:
    total = WeightedSum([Term(_ce(ignore_index=2), "ce")])
    logits, batch = _batch(0, 4)
    batch["target"][1:] = 2
    logits.requires_grad_()
    whole = total({"logits": logits}, batch).value
    cut = _pieces(total, logits, batch, [1, 2])
    (gradient,) = torch.autograd.grad(cut, logits)
    assert cut.item() == pytest.approx(whole.item())
    assert torch.isfinite(gradient).all()


def test_terms_and_their_extras_are_recorded_by_name() -> None:
    logits, batch = _batch(3, 5)
    loss = _total(["tokens", "plain"])({"logits": logits}, batch)
    assert set(loss.logged) == {"tokens", "tokens/kept", "plain"}
    assert loss.value.item() == pytest.approx(float(loss.logged["tokens"] + loss.logged["plain"]))


def test_per_sample_values_average_to_the_mean() -> None:
    total = WeightedSum([Term(_ce(), "a", weight=2.0), Term(_ce(), "b")])
    logits, batch = _batch(4, 6)
    each = total.per_sample({"logits": logits}, batch)
    assert each.shape == (6,)
    assert float(each.mean()) == pytest.approx(float(total({"logits": logits}, batch).value))
    assert total.terms[0].objective.reduction == "mean"


def test_weighted_samples_count_by_their_weights_in_any_cut() -> None:
    total = WeightedSum([Term(_ce(), "a", weight=2.0), Term(_ce(), "b")])
    logits, batch = _batch(4, 6)
    logits.requires_grad_()
    weights = torch.tensor([0.0, 2.0, 0.5, 1.0, 3.0, 0.25], dtype=logits.dtype)
    each = nn.functional.cross_entropy(logits.transpose(1, 2), batch["target"], reduction="none")
    each = each.mean(dim=1)
    expected = 3 * (weights * each).sum() / 6
    weighted = {**batch, "sample_weight": weights}
    whole = total({"logits": logits}, weighted).value
    cut = _pieces(total, logits, weighted, [1, 4])
    assert whole.item() == pytest.approx(expected.item())
    assert cut.item() == pytest.approx(expected.item())
    (gradient,) = torch.autograd.grad(cut, logits)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, logits)[0])


def test_what_cannot_be_weighted_says_why() -> None:
    class Pairs(nn.CrossEntropyLoss):
        couples = "batch"

    class Plain(nn.Module):
        def forward(self, logits: Tensor) -> Tensor:
            return logits.mean()

    def reason(objective: nn.Module) -> str | None:
        return WeightedSum([Term(_ce(), "fine"), Term(objective, "other")]).unweightable

    assert reason(_ce()) is None
    assert reason(Pairs()) == "objective other compares samples with each other"
    assert reason(Plain()) == "objective other does not give the loss of each sample"
    assert reason(_ce(ignore_index=2)) == "objective other does not average over samples"
    assert reason(nn.CrossEntropyLoss(reduction="sum")) == (
        "objective other does not average over samples"
    )


def test_an_objective_without_a_per_sample_form_says_so() -> None:
    class Plain(nn.Module):
        def forward(self, logits: Tensor) -> Tensor:
            return logits.mean()

    with pytest.raises(TypeError, match="plain has no per-sample form"):
        WeightedSum([Term(Plain(), "plain")]).per_sample({"logits": torch.ones(2, 2)}, {})


def test_the_strongest_coupling_counts() -> None:
    assert _total(["plain"]).couples == "sample"
    assert _total(["plain", "pairs"]).couples == "group"


def test_only_terms_that_do_not_average_over_samples_need_counts() -> None:
    assert not _total(["plain"]).needs_counts
    assert _total(["plain", "ignoring"]).needs_counts


@pytest.mark.parametrize("count", [0, ["weight", 3], {"weight": 1}], ids=["number", "mixed", "map"])
def test_a_counter_called_count_is_told(count: object) -> None:
    class Counting(nn.CrossEntropyLoss):
        def __init__(self) -> None:
            super().__init__()
            self.count = count

    with pytest.raises(PluginError, match="attribute count of Counting names no batch columns"):
        Term(Counting(), "counting")
