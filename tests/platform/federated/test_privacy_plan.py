from __future__ import annotations

import math

import pytest
import torch

from trainwright.federated.privacy.clipping import norms
from trainwright.federated.privacy.noise import central_noise, count_noise, local_noise
from trainwright.federated.privacy.plan import PrivacyPlan, plan_of
from trainwright.federated.spec import PrivacySpec
from trainwright.federated.transport.transform_chain import decode, encode
from trainwright.plugins import create

CLIENTS = torch.tensor([3, 8, 11])


def plan(**given: object) -> PrivacyPlan:
    made = plan_of(PrivacySpec(**{"clip": 0.5, "noise": 2.0, **given}), cohort=4, seed=7)
    assert made is not None
    return made


@pytest.fixture
def updates() -> torch.Tensor:
    return torch.randn(3, 6, generator=torch.Generator().manual_seed(0)) * torch.tensor(
        [[0.01], [1.0], [5.0]]
    )


def test_nothing_is_planned_without_a_clip() -> None:
    assert plan_of(PrivacySpec(masked_sums=True), cohort=4, seed=0) is None


def test_central_noise_is_added_once_to_the_sum_of_clipped_updates(updates) -> None:
    central = plan()
    state = central.start()
    assert central.before_transforms(updates, CLIENTS, 2, state).equal(updates)
    bounded, within = central.before_sum(updates, state)
    assert within.tolist() == [True, False, False]
    total = bounded.double().sum(dim=0)
    mean = central.private_mean(total, 2, state)
    # z * C = 1, and the cohort that was expected is divided by, not the three that came
    torch.testing.assert_close(mean, (total + central_noise(6, 1.0, 7, 2)) / 4)
    assert central.central_noise
    assert central.next_state(state, 3, 1, 2) == state


def test_no_client_moves_the_mean_by_more_than_clip_over_cohort(updates) -> None:
    """With the same noise the two means differ by the client's clipped update alone."""
    central = plan()
    state = central.start()
    bounded = central.before_sum(updates, state)[0].double()
    for left_out in range(3):
        others = torch.cat([bounded[:left_out], bounded[left_out + 1 :]])
        moved = central.private_mean(bounded.sum(0), 0, state) - central.private_mean(
            others.sum(0), 0, state
        )
        assert norms(moved) <= 0.5 / 4 * (1 + 1e-6)


@pytest.mark.parametrize(
    ("name", "options"), [("random_mask", {"fraction": 0.1}), ("quantize", {"bits": 2})]
)
def test_transforms_that_lengthen_updates_do_not_get_past_the_clip(name, options) -> None:
    """Clipped before the transforms alone, a client would be heard beyond the clip."""
    central, chain = plan(), [create("update_transforms", name, **options)]
    state, update = central.start(), torch.randn(400)
    shortened = update * 0.5 / update.norm()
    arrived = decode(chain, encode(chain, shortened, 0, 0, 0))
    assert norms(arrived) > 0.5 * 1.2
    assert norms(central.before_sum(arrived, state)[0]) <= 0.5 * (1 + 1e-6)


def test_local_noise_is_added_by_each_client_behind_the_clip(updates) -> None:
    local = plan(where="local")
    state = local.start()
    sent = local.before_transforms(updates, CLIENTS, 2, state)
    bounded = plan().before_sum(updates, state)[0]
    assert sent.equal(bounded + local_noise(6, 1.0, 7, 2, CLIENTS))
    assert local.before_transforms(updates[1:2], CLIENTS[1:2], 2, state).equal(sent[1:2])
    # what is private stays as it is: clipped again it would be biased
    assert local.before_sum(sent, state)[0].equal(sent)
    assert not local.central_noise


def test_clip_alone_bounds_what_is_summed_or_stacked(updates) -> None:
    bare = plan(noise=0.0)
    assert not bare.central_noise
    assert (norms(bare.before_sum(updates, bare.start())[0]) <= 0.5 * (1 + 1e-6)).all()


def test_an_adaptive_clip_moves_and_takes_its_share_of_the_noise(updates) -> None:
    adaptive = plan(adaptive=True, count_noise=1.25, target_quantile=0.9, clip_lr=0.3)
    assert adaptive.noise == pytest.approx((2.0**-2 - 2.5**-2) ** -0.5)
    state = adaptive.start()
    share = (1 - 3 / 2 + count_noise(1.25, 7, 2)) / 4 + 1 / 2
    state = adaptive.next_state(state, 3, 1, 2)
    assert state == {"clip": pytest.approx(0.5 * math.exp(-0.3 * (share - 0.9)))}
    bounded, _ = adaptive.before_sum(updates, state)
    assert norms(bounded)[2].item() == pytest.approx(state["clip"])
    mean = adaptive.private_mean(torch.zeros(6).double(), 4, state)
    expected = central_noise(6, adaptive.noise * state["clip"], 7, 4) / 4
    torch.testing.assert_close(mean, expected)


def test_by_default_the_count_leaves_most_to_the_updates() -> None:
    assert plan(adaptive=True).noise == pytest.approx(2.0 * 1.0998, rel=1e-3)
