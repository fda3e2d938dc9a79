"""The trimmed mean against scipy's, and its limits: the plain mean and the median."""

from __future__ import annotations

import pytest
import torch
from scipy import stats
from torch import Tensor

from trainwright.testing import Miniature, Quadratics, federation_of
from trainwright_strategies.aggregators.coordinate_median import CoordinateMedian
from trainwright_strategies.aggregators.fedavg import FedAvg
from trainwright_strategies.aggregators.trimmed_mean import TrimmedMean

UPDATES = torch.randn(11, 40, generator=torch.Generator().manual_seed(0))


def served(aggregator: TrimmedMean | FedAvg | CoordinateMedian, updates: Tensor) -> Tensor:
    """The weights from 0 after a round with these updates, of which fewer than 20 may arrive."""
    played = Miniature(aggregator, Quadratics(torch.zeros(max(20, len(updates)), updates.shape[1])))
    played.receive(dict(enumerate(updates)))
    return played.weights


def test_worked_example() -> None:
    updates = torch.tensor([[0.0, 8.0], [1.0, 1.0], [2.0, 2.0], [3.0, 3.0], [100.0, -100.0]])
    assert served(TrimmedMean(0.2), updates).tolist() == [2.0, 2.0]
    assert served(TrimmedMean(0.4), updates).tolist() == [2.0, 2.0]
    assert served(TrimmedMean(0.19), updates).tolist() == pytest.approx([21.2, -17.2])


@pytest.mark.parametrize("share", [0.05, 0.1, 0.25, 0.4, 0.49])
def test_it_is_scipy_s_trimmed_mean(share: float) -> None:
    expected = torch.from_numpy(stats.trim_mean(UPDATES.double().numpy(), share, axis=0))
    torch.testing.assert_close(
        served(TrimmedMean(share), UPDATES).double(), expected, rtol=1e-6, atol=1e-7
    )


def test_its_limits_are_the_mean_and_the_median() -> None:
    mean = served(FedAvg("uniform"), UPDATES)
    torch.testing.assert_close(served(TrimmedMean(0.0), UPDATES), mean)
    for count in (10, 11):
        median = served(CoordinateMedian(), UPDATES[:count])
        assert torch.equal(served(TrimmedMean(0.49), UPDATES[:count]), median)


def test_a_share_is_not_lost_to_binary_fractions() -> None:
    """0.29 * 100 is a little below 29."""
    updates = torch.arange(100.0)[:, None].clone()
    updates[71:] = 1e9
    assert served(TrimmedMean(0.29), updates).tolist() == [49.5]


@pytest.mark.parametrize("clients", [1, 2, 3, 4])
def test_something_is_left_of_the_smallest_rounds(clients: int) -> None:
    found = served(TrimmedMean(0.49), UPDATES[:clients])
    assert found.isfinite().all()


def test_a_cohort_of_which_nothing_would_be_cut_off_is_refused() -> None:
    task = Quadratics(torch.zeros(20, 2))
    with pytest.raises(ValueError, match=r"0.1 of 9 clients .* a share of at least 0.111"):
        TrimmedMean(0.1).check(federation_of(task, 9))
    TrimmedMean(0.1).check(federation_of(task, 10))
    TrimmedMean(0.0).check(federation_of(task, 1))


@pytest.mark.parametrize("share", [-0.1, 0.5, float("nan")])
def test_shares_that_make_no_sense_are_refused(share: float) -> None:
    with pytest.raises(ValueError, match=r"share must be at least 0 and below 0\.5"):
        TrimmedMean(share)
