from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from trainwright.errors import JobError
from trainwright.federated import Drawn, Indexed
from trainwright.federated.population.cohorts import Cohorts, ask, cohort_size, latencies, reachable
from trainwright.federated.spec import LatencySpec, SamplingSpec

ALL = SamplingSpec()
ROWS = Indexed.of(np.zeros(60, dtype=np.int64), 1)


def drawn(num_clients: int, samples: tuple[int, int] = (3, 3)) -> Drawn:
    return Drawn(num_clients, 0, ROWS, samples)


def listed(*sizes: int) -> Indexed:
    return Indexed.of(np.repeat(np.arange(len(sizes)), sizes), len(sizes))


def no_steps(clients):
    return np.zeros_like(clients)


def cohorts(sampling=ALL, size=10, partition=None, num_steps=no_steps, **more) -> Cohorts:
    return Cohorts(sampling, 0, size, partition or drawn(50), num_steps, **more)


@given(
    num_clients=st.sampled_from([1, 2, 37, 1008, 1200, 5000, 10**6, 10**9]),
    share=st.floats(0, 1),
    by=st.sampled_from(["uniform", "samples"]),
    availability=st.sampled_from([1.0, 0.6, 0.1]),
    round=st.integers(0, 10**6),
)
def test_the_asked_are_different_sorted_reachable_and_the_same_again(
    num_clients, share, by, availability, round
):
    size = max(1, int(share * min(num_clients, 300)))
    sampling = SamplingSpec(by=by, availability=availability)
    partition = drawn(num_clients, (2, 9))
    asked = ask(sampling, 1, round, partition, size)
    assert asked.dtype == np.int64
    assert (np.diff(asked) > 0).all()
    assert ((asked >= 0) & (asked < num_clients)).all()
    assert reachable(sampling, 1, round, asked).all()
    there = num_clients
    if num_clients <= 5000:
        there = reachable(sampling, 1, round, np.arange(num_clients)).sum()
    assert len(asked) == min(size, there)
    assert np.array_equal(ask(sampling, 1, round, partition, size), asked)


@pytest.mark.parametrize("num_clients", [20, 1300], ids=["all looked at", "a stream of draws"])
def test_every_client_is_asked_as_often(num_clients):
    counts = np.zeros(num_clients)
    for round in range(1500):
        counts[ask(ALL, 0, round, drawn(num_clients), 7)] += 1
    expected = 1500 * 7 / num_clients
    # of a client: binomial; all sum to a constant
    spread = expected * (1 - 7 / num_clients) * num_clients / (num_clients - 1)
    assert counts.sum() == 1500 * 7
    statistic = ((counts - expected) ** 2).sum() / spread
    assert 1e-3 < stats.chi2(num_clients - 1).cdf(statistic) < 1 - 1e-3


@pytest.mark.parametrize("others", [0, 1200], ids=["all looked at", "a stream of draws"])
def test_draws_by_samples_are_those_without_replacement(others):
    """The first two of five clients, against the formula: w_i / W * w_j / (W - w_i)."""
    scale = 100 if others else 1
    weights = np.array([scale * w for w in (1.0, 2.0, 3.0, 6.0, 8.0)] + [1.0] * others)
    partition = listed(*weights.astype(int))
    sampling, total, rounds = SamplingSpec(by="samples"), weights.sum(), 4000
    pairs = np.zeros((5, 5))
    for round in range(rounds):
        first, second = ask(sampling, 0, round, partition, 2)
        if second < 5:
            pairs[first, second] += 1
    either = np.outer(weights[:5], weights[:5])
    chance = either / total / (total - weights[:5, None]) + either / total / (total - weights[:5])
    for i in range(5):
        for j in range(i + 1, 5):
            limit = 4 * (chance[i, j] / rounds) ** 0.5
            assert abs(pairs[i, j] / rounds - chance[i, j]) < limit, (i, j)
    assert pairs.sum() > rounds / 4


@pytest.mark.parametrize("num_clients", [200, 10**9])
def test_larger_clients_are_asked_more_often_in_the_mean(num_clients):
    partition = drawn(num_clients, (1, 9))
    asked = [ask(SamplingSpec(by="samples"), 0, round, partition, 8) for round in range(200)]
    sizes = partition.sizes(np.concatenate(asked))
    # in proportion to n of 1..9: mean of n**2 over mean of n
    assert sizes.mean() == pytest.approx(sum(n * n for n in range(10)) / 45, abs=0.3)
    alike = [ask(ALL, 0, round, partition, 8) for round in range(200)]
    assert partition.sizes(np.concatenate(alike)).mean() == pytest.approx(5, abs=0.3)


def test_one_client_that_has_nearly_all_does_not_hold_the_draw_up():
    partition = listed(100_000, *[1] * 1500)
    asked = ask(SamplingSpec(by="samples"), 0, 0, partition, 20)
    assert len(asked) == 20
    assert asked[0] == 0


def test_a_client_is_within_reach_in_its_share_of_the_rounds():
    sampling, clients = SamplingSpec(availability=0.3), np.arange(40)
    found = np.array([reachable(sampling, 0, round, clients) for round in range(2000)])
    share = found.mean()
    assert abs(share - 0.3) < 4 * (0.21 / found.size) ** 0.5
    assert stats.chisquare(found.sum(axis=0)).pvalue > 1e-3
    alone = [bool(reachable(sampling, 0, 5, clients[k : k + 1])[0]) for k in range(40)]
    assert alone == found[5].tolist()


def test_too_few_within_reach_is_a_smaller_cohort():
    few = [cohorts(SamplingSpec(availability=0.1), 10).of(round) for round in range(20)]
    assert all(cohort.wanted == 10 for cohort in few)
    assert min(len(cohort.asked) for cohort in few) < 5
    nobody = cohorts(SamplingSpec(availability=1e-6), 1).of(0)
    assert (len(nobody.asked), len(nobody.arrived), nobody.seconds) == (0, 0, 0.0)


def test_the_share_that_never_answers():
    sampling = SamplingSpec(dropout=0.2)
    rounds = [cohorts(sampling, 40).of(round) for round in range(300)]
    dropped = sum(len(cohort.dropped) for cohort in rounds)
    assert stats.binomtest(dropped, 300 * 40, 0.2).pvalue > 1e-3
    for cohort in rounds:
        assert sorted([*cohort.arrived, *cohort.dropped]) == cohort.asked.tolist()
        assert len(cohort.late) == 0
    assert len({tuple(cohort.dropped) for cohort in rounds}) > 290


def test_who_drops_out_does_not_depend_on_who_else_is_asked():
    small, large = (cohorts(SamplingSpec(dropout=0.3), size).of(3) for size in (10, 50))
    both = set(small.asked.tolist()) & set(large.asked.tolist())
    assert len(both) == 10
    assert both & set(large.dropped.tolist()) == set(small.dropped.tolist())


SLOW = LatencySpec(seconds_per_step=2.0, seconds_per_megabyte=3.0, spread=0.5, jitter=0.1)


def test_latencies_are_log_normal_around_what_the_average_client_takes():
    clients = np.arange(4000)
    found = np.array([latencies(SLOW, 0, r, clients, np.full(4000, 5), 4.0) for r in range(12)])
    average = 2.0 * 5 + 3.0 * 4
    assert found.mean() == pytest.approx(average, rel=0.03)
    logarithms = np.log(found)
    own = logarithms.mean(axis=0)
    middle = np.log(average) - 0.5**2 / 2 - 0.1**2 / 2
    exact = stats.norm(middle, (0.5**2 + 0.1**2 / 12) ** 0.5)
    assert stats.kstest(own, exact.cdf).pvalue > 1e-3
    assert (logarithms - own).std() == pytest.approx(0.1 * (11 / 12) ** 0.5, rel=0.03)


def test_more_steps_take_longer_by_their_number():
    clients = np.arange(3)
    sure = LatencySpec(seconds_per_step=2.0, seconds_per_megabyte=3.0, spread=0, jitter=0)
    assert latencies(sure, 0, 0, clients, np.array([1, 2, 5]), 10.0).tolist() == [32, 34, 40]


def steps(clients):
    return 1 + clients % 7


def test_the_late_are_left_out_and_the_round_lasts_as_long_as_its_slowest_answer():
    free = cohorts(SamplingSpec(latency=SLOW), 30, num_steps=steps, megabytes=1.0).of(2)
    seconds = latencies(SLOW, 0, 2, free.asked, steps(free.asked), 1.0)
    assert free.seconds == seconds.max()
    assert np.array_equal(free.arrived, free.asked)

    deadline = float(np.median(seconds))
    sampling = SamplingSpec(latency=SLOW.model_copy(update={"deadline_s": deadline}))
    held = cohorts(sampling, 30, num_steps=steps, megabytes=1.0).of(2)
    assert np.array_equal(held.late, free.asked[seconds > deadline])
    assert np.array_equal(held.arrived, free.asked[seconds <= deadline])
    assert held.seconds == deadline

    ample = SamplingSpec(latency=SLOW.model_copy(update={"deadline_s": 1e9}))
    assert cohorts(ample, 30, num_steps=steps, megabytes=1.0).of(2).seconds == free.seconds


def test_who_never_answers_is_waited_for_until_the_deadline():
    latency = SLOW.model_copy(update={"deadline_s": 1e6})
    cohort = cohorts(SamplingSpec(dropout=0.5, latency=latency), 30, num_steps=steps).of(0)
    assert len(cohort.dropped) > 0
    assert len(cohort.late) == 0
    assert cohort.seconds == 1e6
    hurried = SamplingSpec(dropout=0.5, latency=SLOW.model_copy(update={"deadline_s": 5.0}))
    parts = cohorts(hurried, 30, num_steps=steps).of(0)
    assert min(len(parts.dropped), len(parts.late), len(parts.arrived)) > 2
    assert sorted([*parts.dropped, *parts.late, *parts.arrived]) == parts.asked.tolist()
    free = cohorts(SamplingSpec(dropout=0.5, latency=SLOW), 30, num_steps=steps).of(0)
    times = latencies(SLOW, 0, 0, free.arrived, steps(free.arrived), 0.0)
    assert free.seconds == times.max()


@pytest.mark.parametrize(
    ("cohort", "num_clients", "size"),
    [
        (10, 10, 10),
        (1, 10**9, 1),
        (1.0, 7, 7),
        (0.1, 25, 3),
        (0.001, 10, 1),
        (0.5, 10**9, 5 * 10**8),
    ],
)
def test_sizes_of_cohorts(cohort, num_clients, size):
    assert cohort_size(cohort, num_clients) == size


def test_a_cohort_larger_than_the_population():
    with pytest.raises(JobError) as raised:
        cohort_size(11, 10)
    (problem,) = raised.value.problems
    assert (problem.path, problem.got) == ("federation.cohort", 11)
    assert "at most 10" in problem.allowed
