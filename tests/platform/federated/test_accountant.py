from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from scipy import integrate, stats

from trainwright.errors import InputError
from trainwright.federated.privacy import accountant
from trainwright.federated.privacy.accountant import Accounting, accounting_of, remarks
from trainwright.federated.spec import PrivacySpec

CHEAP = Accounting(noise=2.0, rate=0.01, delta=1e-5)


def test_the_published_value_of_the_moments_accountant_is_not_exceeded() -> None:
    """Abadi et al. 2016, arXiv 1607.00133, figure 2: q = 0.01, sigma = 4, 100 epochs: 1.26.

    The central limit of Bu et al. 2020, arXiv 1911.11607, is an approximation from below.
    """
    epsilon = Accounting(noise=4.0, rate=0.01, delta=1e-5).epsilon(10_000)
    mu = 0.01 * math.sqrt(10_000 * (math.exp(1 / 16) - 1))
    limit = Accounting(noise=1 / mu, rate=1.0, delta=1e-5).epsilon(1)
    assert limit < epsilon < 1.26
    assert epsilon == pytest.approx(limit, rel=0.03)


def test_the_usual_setting_on_mnist() -> None:
    """60 epochs in batches of 256, noise 1.1: Renyi accountants of two libraries say 2.597."""
    assert 2.3 < Accounting(1.1, 256 / 60_000, 1e-5).epsilon(14_062) < 2.597


@pytest.mark.parametrize(("noise", "rate", "delta"), [(1.0, 0.1, 1e-5), (1.5, 0.4, 1e-3)])
def test_one_round_is_the_divergence_of_two_densities(noise, rate, delta) -> None:
    """Integrated by hand, with the client and without it, in both directions."""
    epsilon = Accounting(noise, rate, delta).epsilon(1)

    def spent(epsilon: float, one: bool) -> float:
        x = np.linspace(-12, 14, 20_001)
        without = stats.norm.pdf(x, 0, noise)
        with_it = (1 - rate) * without + rate * stats.norm.pdf(x, 1, noise)
        p, q = (with_it, without) if one else (without, with_it)
        return float(integrate.trapezoid(np.maximum(p - math.exp(epsilon) * q, 0), x))

    worst = max(spent(epsilon, True), spent(epsilon, False))
    assert worst <= delta * 1.001
    assert max(spent(epsilon * 0.995, True), spent(epsilon * 0.995, False)) > delta


@pytest.mark.parametrize("rounds", [1, 10, 1000])
def test_without_chance_it_is_the_closed_form(rounds: int) -> None:
    """Balle and Wang 2018, theorem 8; below the bound by zCDP, Bun and Steinke 2016."""
    delta, mu = 1e-5, math.sqrt(rounds) / 3.0
    epsilon = Accounting(3.0, 1.0, delta).epsilon(rounds)
    cdf = stats.norm.cdf
    spent = cdf(mu / 2 - epsilon / mu) - math.exp(epsilon) * cdf(-mu / 2 - epsilon / mu)
    assert spent == pytest.approx(delta, rel=1e-4)
    rho = mu**2 / 2
    assert epsilon < rho + 2 * math.sqrt(rho * math.log(1 / delta))


def test_more_noise_rarer_rounds_and_fewer_spend_less() -> None:
    spent = CHEAP.epsilon(100)
    less = [
        Accounting(2.5, 0.01, 1e-5).epsilon(100),
        Accounting(2.0, 0.005, 1e-5).epsilon(100),
        Accounting(2.0, 0.01, 1e-4).epsilon(100),
        CHEAP.epsilon(50),
    ]
    assert max(less) < spent < Accounting(2.0, 1.0, 1e-5).epsilon(100)
    assert CHEAP.epsilon(0) == 0


def test_it_goes_on_growing_where_the_bound_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """From there on the Renyi divergences alone are asked, which are never below."""
    many = Accounting(2.0, 0.01, 2e-5)
    exact = [many.epsilon(rounds) for rounds in (100, 200)]
    accountant._epsilon.cache_clear()
    monkeypatch.setattr(accountant, "_RDP_ALONE", 0.25)
    bounded = [many.epsilon(rounds) for rounds in (100, 200, 10_000)]
    accountant._epsilon.cache_clear()
    assert bounded[0] == exact[0] < exact[1] < bounded[1] < bounded[2] < math.inf


def test_without_noise_everything_is_spent() -> None:
    assert Accounting(0.0, 0.1, 1e-5).epsilon(1) == math.inf
    assert Accounting(0.0, 0.1, 1e-5).rounds_within(5.0, 10) == 0


@pytest.mark.parametrize("accounting", [CHEAP, Accounting(2.0, 1.0, 1e-3)])
def test_rounds_of_a_budget(accounting: Accounting) -> None:
    budget = accounting.epsilon(20) * 1.0001
    assert accounting.rounds_within(budget, 100) == 20
    assert accounting.epsilon(20) <= budget < accounting.epsilon(21)
    assert accounting.rounds_within(budget, 7) == 7
    assert accounting.rounds_within(1e-9, 100) == 0


def spec(**given: object) -> PrivacySpec:
    return PrivacySpec(clip=1.0, **{"noise": 1.5, **given})


def test_the_accounting_of_a_job() -> None:
    assert accounting_of(spec(noise=0.0), 100, 10) is None
    assert accounting_of(spec(delta=1e-3), 100, 10) == Accounting(1.5, 0.1, 1e-3)
    assert accounting_of(spec(), 100, 10).delta == pytest.approx(100**-1.1)
    assert accounting_of(spec(delta=1e-3), 100, 10, availability=0.5).rate == 0.2
    assert accounting_of(spec(delta=1e-3), 100, 80, availability=0.5).rate == 1.0
    local = accounting_of(spec(delta=1e-3, where="local"), 100, 10)
    assert local == Accounting(0.75, 1.0, 1e-3)


def test_what_is_told_before_a_run() -> None:
    told = remarks(CHEAP, 1000, 100, max_epsilon=CHEAP.epsilon(20) * 1.0001)
    assert "100 rounds spend epsilon 0.19" in told[0]
    assert "at delta 1e-05: clients are taken to be drawn independently at rate 0.01" in told[0]
    assert "allows 20 of the 100 rounds" in told[1]
    assert len(told) == 2
    everyone = Accounting(2.0, 1.0, 0.1)
    told = remarks(everyone, 10, 3, max_epsilon=100.0)
    assert "a client is taken to be in every round" in told[0]
    assert "delta 0.1 is not below 1 / clients" in told[1]


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dp_accounting", None)
    with pytest.raises(InputError, match=r"dp-accounting") as error:
        Accounting(1.234, 0.1, 1e-5).epsilon(1)
    assert error.value.problems[0].mend == "pip install 'trainwright[privacy]'"
