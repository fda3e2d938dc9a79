from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from trainwright.data.random import (
    bits,
    dirichlet,
    first_distinct,
    integers,
    key,
    normal,
    uniform,
    uniform64,
)

IDS = torch.arange(20_000)
DRAWS = {
    "bits": bits,
    "uniform": uniform,
    "uniform64": uniform64,
    "normal": normal,
    "integers": lambda k, ids, shape: integers(k, ids, -3, 1000, shape),
}


def test_keys_are_stable_across_processes() -> None:
    code = "from trainwright.data.random import key; print(key(7, 'noise', -1))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(out.stdout) == key(7, "noise", -1) == -1937252986967240831
    assert -(2**63) <= key("x") < 2**63


def test_keys_tell_types_order_and_borders_apart() -> None:
    parts = [(1,), ("1",), (1, 2), (2, 1), (12,), ("ab", "c"), ("a", "bc"), ("abc",), (), ("",)]
    assert len({key(*p) for p in parts}) == len(parts)


@pytest.mark.parametrize("name", DRAWS)
@given(
    ids=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=40),
    k=st.integers(-(2**63), 2**63 - 1),
    shape=st.sampled_from([(), (1,), (3, 5)]),
)
def test_numbers_do_not_depend_on_the_batch(
    name: str, ids: list[int], k: int, shape: tuple[int, ...]
) -> None:
    draw = DRAWS[name]
    together = draw(k, torch.tensor(ids), shape)
    assert together.shape == (len(ids), *shape)
    for row, one in enumerate(ids):
        assert torch.equal(together[row : row + 1], draw(k, torch.tensor([one]), shape))
    assert torch.equal(together.flip(0), draw(k, torch.tensor(ids).flip(0), shape))


def test_bits_equal_a_computation_with_python_integers() -> None:
    whole = 2**64

    def mix(x: int) -> int:
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % whole
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB % whole
        return x ^ (x >> 31)

    golden, k = 0x9E3779B97F4A7C15, key("reference")
    for one in (0, 1, -5, 2**62):
        row = mix((mix((one * golden + k) % whole) + k) % whole)
        expected = [mix(row ^ mix(j * golden % whole)) for j in range(1, 7)]
        got = bits(k, torch.tensor([one]), (2, 3)).flatten().tolist()
        assert [value % whole for value in got] == expected


def test_uniform_numbers() -> None:
    x = uniform(key("u"), IDS, (5,)).numpy()
    assert x.dtype == np.float32
    assert x.min() >= 0
    assert x.max() < 1
    assert stats.kstest(x.ravel(), "uniform").pvalue > 1e-3
    assert abs(x.mean() - 0.5) < 4 * (1 / 12 / x.size) ** 0.5


def test_uniform_numbers_of_double_precision() -> None:
    x = uniform64(key("u"), IDS, (5,)).numpy()
    assert x.dtype == np.float64
    assert x.min() >= 0
    assert stats.kstest(x.ravel(), "uniform").pvalue > 1e-3
    assert (np.floor(x * 2.0**53) == x * 2.0**53).all()
    assert len(np.unique(x)) == x.size  # of 2**24 numbers some would occur twice
    assert np.floor(10**9 * (1 - 2.0**-53)) < 10**9


@pytest.mark.parametrize("tries", [4, 1], ids=["usual", "many that are refused at first"])
@pytest.mark.parametrize("alpha", [[0.3, 0.3, 0.3], [5.0, 1.0, 0.5], [100.0, 300.0]])
def test_shares_of_a_dirichlet_distribution(alpha: list[float], tries: int, monkeypatch) -> None:
    """Each share has a beta distribution, and two of them the right covariance."""
    monkeypatch.setattr("trainwright.data.random._TRIES", tries)
    concentration, total = torch.tensor(alpha, dtype=torch.float64), sum(alpha)
    x = dirichlet(key("d"), IDS, concentration).numpy()
    assert x.shape == (len(IDS), len(alpha))
    assert np.allclose(x.sum(axis=1), 1)
    for share, one in zip(x.T, alpha, strict=True):
        assert stats.kstest(share, stats.beta(one, total - one).cdf).pvalue > 1e-3
    expected = -alpha[0] * alpha[1] / (total**2 * (total + 1))
    assert np.cov(x[:, 0], x[:, 1])[0, 1] == pytest.approx(expected, rel=0.05)


def test_shares_of_an_id_do_not_depend_on_the_others(monkeypatch) -> None:
    monkeypatch.setattr("trainwright.data.random._TRIES", 1)
    alpha = torch.tensor([0.3, 2.0, 1.0])
    together = dirichlet(key("d"), IDS[:200], alpha)
    for one in range(200):
        assert torch.equal(dirichlet(key("d"), IDS[one : one + 1], alpha)[0], together[one])


def test_shares_of_the_smallest_concentration_are_all_or_nothing() -> None:
    x = dirichlet(key("d"), IDS[:3000], torch.full((4,), 1e-4)).numpy()
    assert np.isfinite(x).all()
    assert (x.max(axis=1) > 0.999).mean() > 0.99
    assert stats.chisquare(np.bincount(x.argmax(axis=1))).pvalue > 1e-3


@given(size=st.integers(1, 30), count=st.integers(1, 30), seed=st.integers(0, 5))
def test_first_different_numbers_are_those_of_a_loop(size: int, count: int, seed: int) -> None:
    count = min(count, size)

    def stream(places: int) -> list[int]:
        return integers(key(seed), torch.tensor([size]), 0, size, (places,))[0].tolist()

    expected: list[int] = []
    for number in stream(10_000):
        if number not in expected:
            expected.append(number)
    assert first_distinct(stream, count) == expected[:count]


def test_normal_numbers() -> None:
    x = normal(key("n"), IDS, (5,)).numpy()
    assert x.dtype == np.float32
    assert stats.kstest(x.ravel(), "norm").pvalue > 1e-3
    assert abs(x.mean()) < 4 / x.size**0.5
    assert abs(x.var() - 1) < 4 * (2 / x.size) ** 0.5
    assert abs(stats.kurtosis(x.ravel())) < 4 * (24 / x.size) ** 0.5
    assert np.isfinite(x).all()


def test_integers_cover_their_range_evenly() -> None:
    x = integers(key("i"), IDS, -2, 5, (3,)).numpy().ravel()
    values, counts = np.unique(x, return_counts=True)
    assert values.tolist() == list(range(-2, 5))
    assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize(("low", "high"), [(3, 3), (4, 3), (0, 2**31 + 1)])
def test_impossible_ranges_are_refused(low: int, high: int) -> None:
    with pytest.raises(ValueError, match="high - low"):
        integers(0, IDS, low, high)


@pytest.mark.parametrize("draw", [uniform, normal])
def test_neighbours_are_not_correlated(draw) -> None:
    x = draw(key("c"), IDS, (4,)).double().numpy()
    other = draw(key("c") + 1, IDS, (4,)).double().numpy()
    limit = 4 / len(IDS) ** 0.5
    pairs = {
        "adjacent ids": (x[:-1, 0], x[1:, 0]),
        "adjacent positions": (x[:, 0], x[:, 1]),
        "diagonal": (x[:-1, 0], x[1:, 1]),
        "adjacent keys": (x[:, 0], other[:, 0]),
        "key against id": (x[1:, 0], other[:-1, 0]),
    }
    for name, (a, b) in pairs.items():
        assert abs(np.corrcoef(a, b)[0, 1]) < limit, name


def test_every_input_bit_changes_half_of_the_output_bits() -> None:
    def flips(a: torch.Tensor, b: torch.Tensor) -> float:
        return float(np.mean([bin(v % 2**64).count("1") for v in (a ^ b).tolist()]))

    ids = torch.arange(300) * 7919
    for bit in (0, 1, 7, 31, 32, 62):
        assert abs(flips(bits(5, ids), bits(5, ids ^ (1 << bit))) - 32) < 1.5
        assert abs(flips(bits(5, ids), bits(5 ^ (1 << bit), ids)) - 32) < 1.5


def test_no_repeated_numbers_over_ids_and_positions() -> None:
    assert bits(key("d"), torch.arange(2000), (100,)).unique().numel() == 200_000
