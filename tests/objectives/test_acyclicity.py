"""Acyclicity: worked numbers, walks counted one by one, difference quotients, refusals."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from trainwright_objectives.acyclicity import acyclicity, walks

KINDS = ("logdet", "exp", "polynomial")


def graph(seed: int, d: int = 5, radius: float = 0.7) -> Tensor:
    size = torch.rand(d, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return size * radius / torch.linalg.eigvals(size).abs().max()


def test_walks_are_counted_backwards() -> None:
    size = torch.tensor([[0.0, 0.5, 0.0], [0.0, 0.0, 0.4], [0.0, 0.0, 0.0]])
    expected = torch.tensor([[1.0, 0.0, 0.0], [0.5, 1.0, 0.0], [0.2, 0.4, 1.0]])
    torch.testing.assert_close(walks(size), expected)
    assert acyclicity(size).item() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_walks_are_zero_exactly_where_no_cycle_would_close(kind: str) -> None:
    size = torch.zeros(4, 4, dtype=torch.float64)
    for i, j in ((2, 0), (0, 3), (2, 1)):
        size[i, j] = 1.7  # beyond any spectral bound of the entries: without cycles it is 0
    assert acyclicity(size, kind).item() == pytest.approx(0, abs=1e-12)
    there = {(0, 2), (3, 0), (1, 2), (3, 2), *((i, i) for i in range(4))}
    assert {(i, j) for i, j in walks(size, kind).nonzero().tolist()} == there


FACTOR = {
    "logdet": lambda length, d: 1.0,
    "exp": lambda length, d: 1 / math.factorial(length),
    "polynomial": lambda length, d: math.comb(d - 1, length) / d**length,
}


@pytest.mark.parametrize("kind", KINDS)
def test_walks_one_by_one(kind: str) -> None:
    """A graph without cycles, whose walks are paths: each is listed."""
    d, size = 4, torch.tensor(graph(3, 4).tolist()).double().triu(1)
    expected = torch.zeros(d, d, dtype=torch.float64)
    for length in range(d):
        for path in itertools.combinations(range(d), length + 1):
            product = math.prod(float(size[a, b]) for a, b in itertools.pairwise(path))
            expected[path[-1], path[0]] += product * FACTOR[kind](length, d)
    torch.testing.assert_close(walks(size, kind), expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("s", [1.0, 1.5])
def test_walks_are_the_gradient(kind: str, s: float) -> None:
    size = graph(1).requires_grad_()
    value = acyclicity(size, kind, s)
    assert value.item() > 0
    torch.testing.assert_close(torch.autograd.grad(value, size)[0], walks(size.detach(), kind, s))
    assert torch.autograd.gradcheck(lambda a: acyclicity(a, kind, s), size)


def test_values_by_hand() -> None:
    """One cycle of two edges of 0.5: eigenvalues 0.5 and -0.5."""
    size = torch.tensor([[0.0, 0.5], [0.5, 0.0]], dtype=torch.float64)
    assert acyclicity(size).item() == pytest.approx(-math.log(0.75))
    assert acyclicity(size, s=2.0).item() == pytest.approx(2 * math.log(2) - math.log(3.75))
    assert acyclicity(size, "exp").item() == pytest.approx(2 * math.cosh(0.5) - 2)
    assert acyclicity(size, "polynomial").item() == pytest.approx(1.25**2 + 0.75**2 - 2)


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_is_computed_in_float32(kind: str) -> None:
    size = graph(2).to(torch.bfloat16).requires_grad_()
    value = acyclicity(size, kind)
    value.backward()
    assert value.dtype == torch.float32
    assert value.item() == acyclicity(size.detach().float(), kind).item()
    assert size.grad is not None
    assert size.grad.isfinite().all()


@pytest.mark.parametrize("function", [acyclicity, walks])
def test_walks_without_end_are_refused_by_logdet_alone(function: object) -> None:
    cycle = torch.tensor([[0.0, 2.0], [0.5, 0.0]])
    with pytest.raises(ValueError, match=r"spectral radius of the edges must be below 1 .*got 1"):
        function(cycle)  # type: ignore[operator]
    # Two cycles too many: the determinant is positive again, and still it is refused.
    twice = torch.block_diag(2 * cycle, 2 * cycle)
    with pytest.raises(ValueError, match="got 2"):
        function(twice)  # type: ignore[operator]
    for kind in ("exp", "polynomial"):
        assert function(twice, kind).isfinite().all()  # type: ignore[operator]
    assert acyclicity(twice, "logdet", 2.5).item() > 0
