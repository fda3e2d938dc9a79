"""Whole rounds with clipping, noise and masks, against what they must come to."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import trainwright
from trainwright.federated.privacy.accountant import Accounting
from trainwright.federated.privacy.noise import central_noise, local_noise

SEED, CLIENTS, CLIP = 5, 12, 0.05
ORDER = ("body.0.weight", "body.0.bias", "head.weight", "head.bias")
BASE: dict[str, Any] = {
    "kind": "federated",
    "name": "private",
    "seed": SEED,
    "data": {"source": "wine", "batch_size": 8, "validation": 0.2},
    "model": {"name": "mlp", "hidden": [4]},
    "objective": "cross_entropy",
    "tracking": {"enabled": False},
}
Rounds = tuple[torch.Tensor, list[dict[str, float]]]
Federate = Callable[..., Rounds]


@pytest.fixture
def federate(tmp_path: Path) -> Federate:
    """Run a federation; gives its weights (d,), float64, and the values of its rounds."""

    def run(privacy: Mapping[str, Any], **given: Any) -> Rounds:
        federation = {
            "rounds": 1,
            "clients": CLIENTS,
            "aggregator": {"name": "fedavg", "weighting": "uniform"},
            "privacy": privacy,
        }
        job = {**BASE, "storage": str(tmp_path), "federation": {**federation, **given}}
        folder = tmp_path / trainwright.run(job).run
        tensors = load_file(folder / "export" / "model.safetensors")
        weights = torch.cat([tensors[name].flatten().double() for name in ORDER])
        lines = (folder / "journal" / "attempt-0001.jsonl").read_text().splitlines()
        rows = [row["values"] for row in map(json.loads, lines) if row["kind"] == "metrics"]
        return weights, [values for values in rows if "train/lr" in values]

    return run


def test_noise_and_masks_are_all_that_differs(federate: Federate) -> None:
    plain, _ = federate({"clip": CLIP})
    size, std = len(plain), 0.8 * CLIP
    central, _ = federate({"clip": CLIP, "noise": 0.8})
    added = central_noise(size, std, SEED, 0) / CLIENTS
    torch.testing.assert_close(central, plain + added, rtol=0, atol=1e-6)
    local, _ = federate({"clip": CLIP, "noise": 0.8, "where": "local"})
    added = local_noise(size, std, SEED, 0, torch.arange(CLIENTS)).double().mean(dim=0)
    torch.testing.assert_close(local, plain + added, rtol=0, atol=1e-6)
    masked, _ = federate({"clip": CLIP, "masked_sums": True})
    torch.testing.assert_close(masked, plain, rtol=0, atol=1e-6)


def test_a_budget_ends_the_rounds_and_the_clip_moves(federate: Federate) -> None:
    accounting = Accounting(2.0, 0.5, 1e-3)
    privacy = {"clip": CLIP, "noise": 2.0, "delta": 1e-3, "adaptive": True}
    budget = accounting.epsilon(3) + 1e-6
    _, rounds = federate({**privacy, "max_epsilon": budget}, rounds=9, cohort=0.5)
    assert [values["federation/epsilon"] for values in rounds] == pytest.approx(
        [accounting.epsilon(done) for done in (1, 2, 3)]
    )
    clips = [math.log(values["federation/clip"] / CLIP) for values in rounds]
    assert all(clips[done] != clips[done - 1] for done in (1, 2))


def test_a_single_answer_under_masks_is_not_read(federate: Federate) -> None:
    _, rounds = federate(
        {"masked_sums": True}, rounds=12, cohort=2, sampling={"dropout": 0.5}, evaluate_every=12
    )
    answers = [values["federation/clients"] for values in rounds]
    assert {0.0, 1.0, 2.0} == set(answers)
    assert rounds[-1]["federation/empty_rounds"] == sum(count < 2 for count in answers)
