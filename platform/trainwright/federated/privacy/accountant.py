"""How much privacy a number of rounds spends: epsilon, for a delta."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from trainwright.errors import InputError, Problem

if TYPE_CHECKING:
    from trainwright.federated.spec import PrivacySpec

_RDP_ALONE = 400.0
"""Where the bound by Renyi divergences is above this, it is told: the other, which may be a tenth
of it, takes time and memory that grow with it, and nobody is protected by either."""
_ORDERS = (*range(2, 65), 80, 96, 128, 192, 256, 512, 1024)


@dataclass(frozen=True)
class Accounting:
    """What each round spends.

    Two federations are neighbours if one has a client more. Clients are taken to be drawn
    independently, each with probability ``rate`` (Poisson sampling). A cohort of fixed size is no
    such draw: for it epsilon is the customary approximation (B. McMahan, D. Ramage, K. Talwar,
    L. Zhang, "Learning Differentially Private Recurrent Language Models", ICLR 2018, arXiv
    1710.06963), and no proof. With ``rate`` 1 there is no chance in it, and it is exact. What is
    proven of fixed sizes (Y.-X. Wang, B. Balle, S. Kasiviswanathan, AISTATS 2019, arXiv 1808.00087)
    is about a client that is replaced, who moves the sum by twice the clip, and is far larger: 77
    instead of 3.7 for 100 rounds of 10 out of 100 clients with noise 1, 25 instead of 2.3 for 1000
    rounds of 10^4 out of 10^6.

    Attributes:
        noise: standard deviation of the noise over how far one client can move what it is added to.
        rate: chance of a client to take part in a round, above 0 and at most 1.
        delta: chance that epsilon does not hold, above 0 and below 1.
    """

    noise: float
    rate: float
    delta: float

    def epsilon(self, rounds: int) -> float:
        """What is spent after ``rounds`` rounds; infinity without noise.

        By privacy loss distributions, from above (M. Meiser and E. Mohammadi, CCS 2018; P.
        Koskela, J. Jalko, A. Honkela, AISTATS 2020), or for large epsilon by Renyi divergences (I.
        Mironov, K. Talwar, L. Zhang, 2019, arXiv 1908.10530); with ``rate`` 1 in closed form
        (B. Balle and Y.-X. Wang, ICML 2018, arXiv 1805.06530).

        Raises:
            InputError: the package ``dp-accounting`` cannot be imported.
        """
        if rounds == 0:
            return 0.0
        if self.noise == 0:
            return math.inf
        return _epsilon(self.noise, self.rate, self.delta, rounds)

    def rounds_within(self, max_epsilon: float, most: int) -> int:
        """How many rounds spend no more than ``max_epsilon``; ``most`` if more than that.

        A round, counted from 0, would exceed the budget if it is not below this number.
        """
        if self.epsilon(most) <= max_epsilon:
            return most
        within, beyond = 0, most
        while beyond - within > 1:
            middle = (within + beyond) // 2
            if self.epsilon(middle) <= max_epsilon:
                within = middle
            else:
                beyond = middle
        return within


def accounting_of(
    spec: PrivacySpec, population: int, cohort: int, availability: float = 1.0
) -> Accounting | None:
    """The accounting of a job; None without noise.

    With ``local`` noise it is that of the server, who sees each message and knows whose it is:
    nothing is gained by chance, two updates differ by up to twice the clip, and one client is
    taken to be in every round.

    Args:
        spec: the section of the job.
        population: number of clients there are.
        cohort: most clients in a round.
        availability: share of the rounds in which a client can be reached; those who know when,
            know that it was drawn among fewer.
    """
    if spec.noise == 0:
        return None
    delta = spec.delta if spec.delta is not None else min(population**-1.1, 0.5)
    if spec.where == "local":
        return Accounting(spec.noise / 2, 1.0, delta)
    return Accounting(spec.noise, min(cohort / (availability * population), 1.0), delta)


def remarks(
    accounting: Accounting, population: int, rounds: int, max_epsilon: float | None
) -> list[str]:
    """What a user should know before a run begins, one sentence each.

    Args:
        accounting: of the job.
        population: number of clients there are.
        rounds: of the job.
        max_epsilon: its budget.
    """
    spent = accounting.epsilon(rounds)
    drawn = (
        f"clients are taken to be drawn independently at rate {accounting.rate:.3g}, which cohorts "
        "of fixed size are not quite"
        if accounting.rate < 1
        else "a client is taken to be in every round"
    )
    told = [f"{rounds} rounds spend epsilon {spent:.3g} at delta {accounting.delta:.3g}: {drawn}"]
    if max_epsilon is not None:
        within = accounting.rounds_within(max_epsilon, rounds)
        if within < rounds:
            told.append(f"max_epsilon {max_epsilon:g} allows {within} of the {rounds} rounds")
    if accounting.delta >= 1 / population:
        told.append(
            f"delta {accounting.delta:.3g} is not below 1 / clients: it allows that one client's "
            "update is published as it is"
        )
    return told


@lru_cache(maxsize=256)
def _epsilon(noise: float, rate: float, delta: float, rounds: int) -> float:
    library = _library()
    if rate == 1:
        exact = library.get_epsilon_gaussian(noise / math.sqrt(rounds), delta)
        return float(exact)
    renyi = library.rdp.RdpAccountant(_ORDERS)
    sampled = library.PoissonSampledDpEvent(rate, library.GaussianDpEvent(noise))
    bound = float(renyi.compose(sampled, rounds).get_epsilon(delta))
    if bound > _RDP_ALONE:
        return bound
    losses = _losses_of_a_round(noise, rate).self_compose(rounds)
    return min(bound, float(losses.get_epsilon_for_delta(delta)))


@lru_cache(maxsize=8)
def _losses_of_a_round(noise: float, rate: float) -> Any:
    distributions = _library().pld.privacy_loss_distribution
    return distributions.from_gaussian_mechanism(noise, sampling_prob=rate)


def _library() -> Any:
    try:
        import dp_accounting
        import dp_accounting.pld
        import dp_accounting.rdp
    except ImportError as error:
        raise InputError(
            Problem(
                "federation.privacy",
                f"the package dp-accounting, which tells epsilon, cannot be imported ({error})",
                mend="pip install 'trainwright[privacy]'",
            )
        ) from error
    return dp_accounting
