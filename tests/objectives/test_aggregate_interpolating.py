"""Losses on aggregate responses: worked numbers, a loop over bags, and Jensen."""

from __future__ import annotations

import math
import re

import pytest
import torch
from torch.nn import functional

from trainwright_objectives.aggregate_interpolating import (
    AggregateInterpolating,
    Bags,
    bag_losses,
)

WORKED = torch.tensor([0.2, 0.8, 0.5, 0.1], dtype=torch.float64)
IDS = torch.tensor([0, 0, 1, 1])
RESPONSES = torch.tensor([0.6, 0.2], dtype=torch.float64)
BASES = ("squared", "bce", "ce", "poisson")


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def sample(base: str, seed: int = 0, equal: bool = False) -> tuple[torch.Tensor, ...]:
    """Raw predictions, shuffled bag ids far apart, and the response of each instance's bag."""
    sizes = torch.tensor([3, 3, 3] if equal else [3, 1, 5])
    generator = torch.Generator().manual_seed(seed)
    bag = torch.repeat_interleave(torch.arange(3), sizes)[torch.randperm(9, generator=generator)]
    raw = numbers(9, 4, seed=seed) if base == "ce" else numbers(9, seed=seed)
    response = numbers(3, 4, seed=seed + 1) if base == "ce" else numbers(3, seed=seed + 1)
    if base == "ce":
        response = response.softmax(1)
    elif base != "squared":
        response = response.sigmoid()
    return raw, torch.tensor([70, -3, 12])[bag], response[bag]


def by_hand(
    raw: torch.Tensor, bag_id: torch.Tensor, response: torch.Tensor, rho: float, base: str
) -> list[float]:
    """The loss of each bag in the order of ids: one bag after the other, probabilities as such."""
    ready = {
        "squared": lambda x: x,
        "bce": torch.sigmoid,
        "ce": lambda x: x.softmax(1),
        "poisson": torch.exp,
    }[base]
    loss = {
        "squared": lambda f, y: (f - y) ** 2,
        "bce": lambda f, y: -(y * math.log(f) + (1 - y) * math.log(1 - f)),
        "ce": lambda f, y: -sum(a * math.log(p) for p, a in zip(f, y, strict=True)),
        "poisson": lambda f, y: f - y * math.log(f),
    }[base]
    found = []
    for name in sorted(set(bag_id.tolist())):
        own = bag_id == name
        f, y = ready(raw)[own], response[own][0].tolist()
        at_bag = loss(f.mean(0).tolist(), y)
        at_instances = sum(loss(one, y) for one in f.tolist()) / len(f)
        found.append((1 - rho) * at_bag + rho * at_instances)
    return found


def test_worked_squared_loss_and_gradient() -> None:
    for rho, expected in ((0.0, 0.010), (1.0, 0.075), (0.25, 0.02625)):
        loss = AggregateInterpolating(rho)(WORKED, IDS, RESPONSES)
        assert loss.item() == pytest.approx(expected, abs=1e-9)
    prediction = WORKED.clone().requires_grad_()
    AggregateInterpolating(0.25)(prediction, IDS, RESPONSES).backward()
    expected = torch.tensor([-0.0875, -0.0125, 0.075, 0.025], dtype=torch.float64)
    torch.testing.assert_close(prediction.grad, expected, atol=1e-9, rtol=0)


def test_worked_cross_entropy_of_probabilities() -> None:
    for rho, expected in ((0.0, 0.609641), (1.0, 0.767634), (0.25, 0.649139)):
        given = AggregateInterpolating(rho, "bce", from_logits=False)(WORKED, IDS, RESPONSES)
        assert given.item() == pytest.approx(expected, abs=1e-6)
        raw = AggregateInterpolating(rho, "bce")(torch.logit(WORKED), IDS, RESPONSES)
        assert raw.item() == pytest.approx(given.item(), abs=1e-9)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("rho", [0.0, 0.3, 1.0])
def test_against_a_loop_over_bags(base: str, rho: float) -> None:
    raw, bag_id, response = sample(base)
    expected = torch.tensor(by_hand(raw, bag_id, response, rho, base), dtype=torch.float64)
    found = bag_losses(raw, Bags(bag_id, response), rho, base)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    single = bag_losses(raw.float(), Bags(bag_id, response.float()), rho, base)
    torch.testing.assert_close(single.double(), expected, rtol=1e-5, atol=1e-6)
    assert AggregateInterpolating(rho, base)(raw, bag_id, response) == found.mean()
    by_size = AggregateInterpolating(rho, base, weighting="instance")(raw, bag_id, response)
    counts = torch.bincount(torch.unique(bag_id, return_inverse=True)[1])
    torch.testing.assert_close(by_size, (expected * counts).sum() / 9)


@pytest.mark.parametrize("base", ["bce", "ce", "poisson"])
def test_probabilities_and_rates_as_they_are(base: str) -> None:
    raw, bag_id, response = sample(base)
    ready = {"bce": raw.sigmoid(), "ce": raw.softmax(-1), "poisson": raw.exp()}[base]
    bags = Bags(bag_id, response)
    expected = bag_losses(raw, bags, 0.4, base)
    found = bag_losses(ready, bags, 0.4, base, from_logits=False)
    torch.testing.assert_close(found, expected)


def test_bags_of_one_are_ordinary_supervision() -> None:
    ids = torch.arange(9)
    for rho in (0.0, 0.4, 1.0):
        raw, _, target = sample("squared")
        found = AggregateInterpolating(rho)(raw, ids, target)
        torch.testing.assert_close(found, functional.mse_loss(raw, target), rtol=0, atol=1e-12)
        raw, _, target = sample("bce")
        found = AggregateInterpolating(rho, "bce")(raw, ids, target)
        expected = functional.binary_cross_entropy_with_logits(raw, target)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
        raw, _, target = sample("ce")
        found = AggregateInterpolating(rho, "ce")(raw, ids, target)
        torch.testing.assert_close(found, functional.cross_entropy(raw, target), rtol=0, atol=1e-12)
        raw, _, target = sample("poisson")
        found = AggregateInterpolating(rho, "poisson")(raw, ids, target)
        expected = functional.poisson_nll_loss(raw, target)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_the_two_ends_differ_by_the_variance_within_bags() -> None:
    raw, bag_id, response = sample("squared", equal=True)
    within = [raw[bag_id == name].var(correction=0) for name in torch.unique(bag_id)]
    ends = [AggregateInterpolating(rho)(raw, bag_id, response) for rho in (0.0, 1.0)]
    torch.testing.assert_close(ends[1] - ends[0], torch.stack(within).mean(), atol=1e-10, rtol=0)
    constant = response + 0.3
    ends = [AggregateInterpolating(rho)(constant, bag_id, response) for rho in (0.0, 1.0)]
    torch.testing.assert_close(ends[1], ends[0], atol=1e-12, rtol=0)


@pytest.mark.parametrize("base", ["squared", "bce", "ce"])
def test_the_bag_level_is_never_above_the_instance_level(base: str) -> None:
    gaps = []
    for seed in range(100):
        raw, bag_id, response = sample(base, seed)
        bags = Bags(bag_id, response)
        gaps.append(bag_losses(raw, bags, 1.0, base) - bag_losses(raw, bags, 0.0, base))
    assert torch.stack(gaps).min() >= -1e-12
    assert torch.stack(gaps).mean() > 0.05


@pytest.mark.parametrize("base", BASES)
def test_order_and_names_of_bags_do_not_matter(base: str) -> None:
    raw, bag_id, response = sample(base)
    objective = AggregateInterpolating(0.3, base)
    before = objective(raw, bag_id, response)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(objective(raw[order], bag_id[order], response[order]), before)
    torch.testing.assert_close(objective(raw, -7 * bag_id, response), before)


def test_responses_per_bag_and_sums() -> None:
    raw, bag_id, response = sample("squared")
    first = {int(name): value for name, value in zip(bag_id, response, strict=True)}
    each = torch.stack([first[name] for name in sorted(first)])
    expected = AggregateInterpolating()(raw, bag_id, response)
    torch.testing.assert_close(AggregateInterpolating()(raw, bag_id, each), expected)
    sums = response * torch.tensor([(bag_id == name).sum() for name in bag_id])
    torch.testing.assert_close(AggregateInterpolating(aggregate="sum")(raw, bag_id, sums), expected)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("weighting", ["bag", "instance"])
def test_gradcheck(base: str, weighting: str) -> None:
    raw, bag_id, response = sample(base)
    objective = AggregateInterpolating(0.3, base, weighting=weighting)
    assert torch.autograd.gradcheck(lambda f: objective(f, bag_id, response), raw.requires_grad_())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("base", ["bce", "ce"])
def test_certain_predictions_stay_finite(dtype: torch.dtype, base: str) -> None:
    raw = torch.tensor([[200.0, 0.0], [150.0, 0.0], [-90.0, 90.0]], dtype=dtype)
    raw = (raw if base == "ce" else raw[:, 0]).clone().requires_grad_()
    wrong = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=dtype)
    response = wrong if base == "ce" else wrong[:, 0]
    loss = AggregateInterpolating(0.5, base)(raw, torch.tensor([0, 0, 1]), response)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() > 100
    assert raw.grad.isfinite().all()
    assert (raw.grad.abs().reshape(3, -1).sum(1) > 0.05).all(), "certainty must not stop learning"


@pytest.mark.parametrize("base", ["bce", "ce", "poisson"])
def test_a_least_probability_where_they_are_given(base: str) -> None:
    """Zero where the response is one: minus the logarithm of eps (a rate adds itself)."""
    nothing = torch.zeros(2, 2, dtype=torch.float64)
    prediction, response = (nothing, nothing + 1) if base != "ce" else (nothing, torch.eye(2))
    found = AggregateInterpolating(0.3, base, from_logits=False, eps=1e-3)
    loss = found(prediction, torch.tensor([0, 1]), response)
    rate = 1e-3 if base == "poisson" else 0.0
    assert loss.item() == pytest.approx(rate - math.log(1e-3), rel=1e-12)


def test_a_last_dimension_of_one_is_none() -> None:
    raw, bag_id, response = sample("squared")
    expected = AggregateInterpolating()(raw, bag_id, response)
    columns = AggregateInterpolating()(raw[:, None], bag_id, response[:, None])
    mixed = AggregateInterpolating()(raw[:, None], bag_id, response)
    torch.testing.assert_close(columns, expected)
    torch.testing.assert_close(mixed, expected)


def test_denominators() -> None:
    _, bag_id, _ = sample("squared")
    assert AggregateInterpolating().count(bag_id) == 3
    assert AggregateInterpolating(weighting="instance").count(bag_id) == 9
    assert repr(AggregateInterpolating()) == "AggregateInterpolating(rho=0.1, base=squared)"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rho": -0.1}, "rho must be a number in [0, 1], got -0.1"),
        ({"rho": 1.1}, "rho must be a number in [0, 1], got 1.1"),
        ({"rho": math.nan}, "rho must be a number in [0, 1], got nan"),
        ({"base": "huber"}, "base must be one of squared, bce, ce, poisson, got 'huber'"),
        ({"aggregate": "max"}, "aggregate must be one of mean, sum"),
        ({"weighting": "none"}, "weighting must be one of bag, instance"),
        ({"eps": 0.0}, "eps must be a number above 0"),
    ],
)
def test_ill_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        AggregateInterpolating(**options)


@pytest.mark.parametrize(
    ("base", "prediction", "ids", "response", "message"),
    [
        ("squared", [], [], [], "one or more instances"),
        ("squared", [0.1, 0.2], [0, 0], [1.0, 2.0], "the same on all rows of a bag"),
        ("squared", [0.1, 0.2], [0, 0], [math.nan, math.nan], "must be a number"),
        ("squared", [0.1, 0.2], [0, 0], [math.nan], "must be numbers in [-inf, inf]"),
        ("squared", [0.1, 0.2, 0.3], [0, 0, 1], [1.0], "3 instances or of the 2 bags, got 1"),
        ("squared", [0.1], [0, 0], [1.0], "for each of the 2 instances"),
        ("squared", [[0.1, 0.2]], [0], [1.0], "of the shape of a bag's response, ()"),
        ("bce", [0.1, 0.2], [0, 0], [1.2], "must be numbers in [0, 1] for base bce"),
        ("poisson", [0.1, 0.2], [0, 0], [-1.0], "must be numbers in [0, inf] for base poisson"),
        ("ce", [0.1, 0.2], [0, 0], [0.5], "base ce needs scores of shape (N, C)"),
    ],
)
def test_ill_inputs(base: str, prediction: list, ids: list, response: list, message: str) -> None:
    arguments = torch.tensor(prediction), torch.tensor(ids).long(), torch.tensor(response)
    with pytest.raises(ValueError, match=re.escape(message)):
        AggregateInterpolating(base=base)(*arguments)


def test_bag_ids_are_whole_numbers() -> None:
    with pytest.raises(ValueError, match="whole number"):
        AggregateInterpolating()(WORKED, IDS.double(), RESPONSES)
