from __future__ import annotations

import math

import dp_accounting
import pytest
import torch
from dp_accounting.rdp import RdpAccountant
from hypothesis import given
from hypothesis import strategies as st

from trainwright.federated.privacy.accountant import Accounting
from trainwright.federated.privacy.adaptive import (
    AdaptiveClip,
    default_count_noise,
    update_noise,
)


def test_a_worked_round() -> None:
    """8 of 10 updates are within; the median is asked for: exp(-0.2 * (0.8 - 0.5))."""
    clip = AdaptiveClip(target_quantile=0.5, lr=0.2, count_noise=0.5, cohort=10)
    assert clip.next(2.0, 10, 8, 0.0) == pytest.approx(2 * math.exp(-0.06))
    assert clip.next(2.0, 10, 8, 1.0) == pytest.approx(2 * math.exp(-0.08))
    assert clip.next(2.0, 10, 5, 0.0) == 2.0


def test_a_client_moves_the_count_by_half_whether_it_is_there_or_not() -> None:
    clip = AdaptiveClip(target_quantile=0.5, lr=1.0, count_noise=0.5, cohort=10)
    without = clip.next(1.0, 9, 4, 0.0)
    for within in (4, 5):
        assert abs(math.log(clip.next(1.0, 10, within, 0.0) / without)) == pytest.approx(0.05)


@pytest.mark.parametrize("quantile", [0.3, 0.5, 0.9])
@pytest.mark.parametrize("start", [0.01, 100.0])
def test_it_finds_the_quantile(quantile: float, start: float) -> None:
    random = torch.Generator().manual_seed(1)
    adaptive = AdaptiveClip(quantile, lr=0.2, count_noise=5.0, cohort=100)
    clip, last = start, []
    for _ in range(300):
        norms = torch.randn(100, generator=random).exp()
        noise = 5 * float(torch.randn(1, generator=random))
        clip = adaptive.next(clip, 100, int((norms <= clip).sum()), noise)
        last = [*last[-99:], math.log(clip)]
    wanted = math.sqrt(2) * float(torch.erfinv(torch.tensor(2 * quantile - 1)))
    assert sum(last) / 100 == pytest.approx(wanted, abs=0.05)


def test_a_worked_split_of_the_noise() -> None:
    """1 / 0.8^2 = 1 / 1^2 + 1 / (4 / 3)^2."""
    assert update_noise(0.8, 2 / 3) == pytest.approx(1.0)


@given(st.floats(0.1, 10), st.floats(0.51, 50))
def test_updates_and_count_together_spend_what_the_round_does(noise: float, share: float) -> None:
    on_updates = update_noise(noise, share * noise)
    assert on_updates >= noise
    spent = on_updates**-2 + (2 * share * noise) ** -2
    assert spent == pytest.approx(noise**-2, rel=1e-9)


def test_the_library_agrees_that_both_together_are_one_mechanism() -> None:
    on_updates = update_noise(1.5, 2.0)
    both = dp_accounting.ComposedDpEvent(
        [dp_accounting.GaussianDpEvent(on_updates), dp_accounting.GaussianDpEvent(2 * 2.0)]
    )
    accountants = [RdpAccountant(), RdpAccountant()]
    accountants[0].compose(both, 10)
    accountants[1].compose(dp_accounting.GaussianDpEvent(1.5), 10)
    first, second = (accountant.get_epsilon(1e-5) for accountant in accountants)
    assert first == pytest.approx(second)
    assert Accounting(1.5, 1.0, 1e-5).epsilon(10) <= first


@pytest.mark.parametrize("count_noise", [0.0, 0.4, 0.5])
def test_a_count_that_spends_everything_is_refused(count_noise: float) -> None:
    with pytest.raises(ValueError, match=r"above half of the noise, 0\.5, got"):
        update_noise(1.0, count_noise)


@pytest.mark.parametrize(("cohort", "expected"), [(1000, 50.0), (10, 1.2), (24, 1.2)])
def test_default_noise_on_the_count(cohort: int, expected: float) -> None:
    assert default_count_noise(1.0, cohort) == expected


@given(st.floats(0.01, 20), st.integers(1, 10_000))
def test_by_default_the_noise_on_updates_grows_by_a_tenth_at_most(
    noise: float, cohort: int
) -> None:
    assert update_noise(noise, default_count_noise(noise, cohort)) <= 1.101 * noise
