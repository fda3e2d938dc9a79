"""What the three adaptive aggregators have in common: their limits, their range, their options."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from trainwright.testing import Miniature, Quadratics
from trainwright_strategies.aggregators.adaptive import Adaptive
from trainwright_strategies.aggregators.fedadagrad import FedAdagrad
from trainwright_strategies.aggregators.fedadam import FedAdam
from trainwright_strategies.aggregators.fedavg import FedAvg
from trainwright_strategies.aggregators.fedyogi import FedYogi

CENTRES = torch.tensor([[1.0, 0.0, 2.0], [0.0, 4.0, 1.0], [-2.0, 2.0, 0.0]])


def make(kind: type[Adaptive], betas: tuple[float, float] = (0.9, 0.99), **options: Any) -> Any:
    if kind is FedAdagrad:
        return FedAdagrad(beta=betas[0], **options)
    return kind(betas=betas, **options)


ALL = pytest.mark.parametrize("kind", [FedAdagrad, FedAdam, FedYogi])


@ALL
def test_with_a_large_tau_and_no_memory_it_is_averaging_at_a_rate_of_lr_over_two_tau(
    kind: type[Adaptive],
) -> None:
    task = Quadratics(CENTRES, num_samples=[1, 2, 5])
    adaptive = make(kind, (0.0, 1 - 1e-7), tau=1e4, server_lr=1e4)
    found = Miniature(adaptive, task).run(10).weights
    expected = Miniature(FedAvg(server_lr=0.5), task).run(10).weights
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@ALL
def test_with_a_tiny_tau_first_steps_are_of_equal_length_for_all_weights(
    kind: type[Adaptive],
) -> None:
    played = Miniature(make(kind, tau=1e-9, server_lr=0.1), Quadratics(CENTRES))
    played.receive(dict.fromkeys(range(3), torch.tensor([1e-3, -1.0, 1e3])))
    # Adam and Yogi know a tenth of the mean, and a hundredth of the square: its root is a tenth.
    length = 0.01 if kind is FedAdagrad else 0.1
    expected = torch.tensor([length, -length, length])
    torch.testing.assert_close(played.weights, expected, rtol=1e-4, atol=0)


@ALL
def test_it_finds_the_optimum(kind: type[Adaptive]) -> None:
    task = Quadratics(CENTRES, torch.tensor([[1.0, 0.1, 3.0]]))
    found = Miniature(make(kind, (0.5, 0.99), tau=0.1, server_lr=1.0), task).run(200).weights
    torch.testing.assert_close(found.double(), task.optimum(), rtol=0, atol=1e-3)


@ALL
def test_state_holds_squares_of_the_largest_numbers(kind: type[Adaptive]) -> None:
    played = Miniature(make(kind), Quadratics(CENTRES))
    for size in (1e38, 1e-38, 0.0):
        played.receive(dict.fromkeys(range(3), torch.full((3,), size)))
        assert played.state["square"].isfinite().all()
        assert (played.state["square"] > 0).all()
        assert played.weights.isfinite().all()


@ALL
def test_options_that_make_no_sense_are_refused(kind: type[Adaptive]) -> None:
    for tau in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="tau must be a number above 0"):
            make(kind, tau=tau)
    for beta in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match="betas must be at least 0 and below 1"):
            make(kind, (beta, 0.99))
        if kind is not FedAdagrad:
            with pytest.raises(ValueError, match="betas must be at least 0 and below 1"):
                make(kind, (0.9, beta))
    with pytest.raises(ValueError, match="server_lr must be a number above 0"):
        make(kind, server_lr=0.0)
    with pytest.raises(ValueError, match="weighting must be"):
        make(kind, weighting="none")
