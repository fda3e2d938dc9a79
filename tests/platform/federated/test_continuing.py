"""Federations that are stopped or killed, and continued by the same command, bit for bit."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import driving
import pytest
import sabotage
from driving import KILLED, start, write_job
from federations import values_of
from stories import Story, assert_same_run, record_of, the_run

import trainwright
from trainwright.errors import Interrupted
from trainwright.federated.server.rounds import Server

ROUNDS = 7
COMMON: dict[str, Any] = {
    "data__test": 0.1,
    "federation__rounds": ROUNDS,
    "federation__checkpoint_every": 3,
    "federation__evaluate_every": 2,
    "optimizer": {"name": "sgd", "lr": 0.3},
    "schedule": {"name": "cosine", "warmup": 0.1},
    "metrics": ["accuracy"],
}
JOBS: dict[str, dict[str, Any]] = {
    "scaffold, transforms, sampling": {
        "data__transforms": [{"name": "gaussian_noise", "std": 0.1}],
        "federation__aggregator": "scaffold",
        "federation__cohort": 5,
        "federation__decomposition": True,
        "federation__update_transforms": [{"name": "quantize", "bits": 4}],
        "federation__sampling": {
            "by": "samples",
            "availability": 0.9,
            "dropout": 0.2,
            "latency": {"deadline_s": 10.0},
        },
        "federation__client_evaluation": {
            "every": 2,
            "held_out": 0.2,
            "personalise": {"steps": 2},
        },
    },
    "fedbn, dropout": {
        "model": {"name": "mlp", "hidden": [8], "batch_norm": True, "dropout": 0.2},
        "federation__aggregator": "fedbn",
        "federation__cohort": 0.6,
        "training": {"epochs": 2, "max_grad_norm": 1.0},
        "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9},
    },
    "privacy, masks": {
        "federation__aggregator": {"name": "fedavg", "weighting": "uniform"},
        "federation__cohort": 6,
        "federation__sampling": {"dropout": 0.2},
        "federation__privacy": {"clip": 0.5, "noise": 0.3, "adaptive": True},
    },
}


class Scene:
    """A job, its undisturbed run, and what is done to others."""

    def __init__(self, folder: Path, sections: dict[str, Any]) -> None:
        self.job = write_job(folder, values_of(**{**COMMON, **sections}))
        self.undisturbed = self.calm(folder / "calm")

    def calm(self, storage: Path) -> Path:
        """Run it to its end."""
        trainwright.run(self.job, overrides=[f"storage={storage}"])
        return the_run(storage)

    def killed_in(self, round: int, storage: Path) -> int:
        """The exit status of a process that is killed in a round."""
        before = sabotage.kill_in_round
        return start(self.job, [f"storage={storage}"], before=before, arguments=[round, 3]).wait()


QUICK, *SLOW = JOBS


@pytest.fixture(
    scope="module",
    params=[QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)],
)
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return Scene(tmp_path_factory.mktemp("scene"), JOBS[request.param])


@pytest.mark.parametrize(
    "rounds",
    [
        pytest.param([4], id="after a checkpoint"),
        pytest.param([1, 3, ROUNDS - 1], id="again and again", marks=pytest.mark.slow),
    ],
)
def test_killed_in_a_round(scene: Scene, tmp_path: Path, rounds: list[int]) -> None:
    for round in rounds:
        assert scene.killed_in(round, tmp_path) == KILLED
    scene.calm(tmp_path)
    assert_same_run(the_run(tmp_path), scene.undisturbed)
    assert len(Story.of(the_run(tmp_path)).attempts) > 1


def test_the_undisturbed_run_is_worth_comparing_with(scene: Scene) -> None:
    story = Story.of(scene.undisturbed)
    assert [step for name, step in sorted(story.metrics) if name == "train/loss"] == [*range(1, 8)]
    assert len(story.curve("validation/accuracy")) == 4
    assert len(story.curve("test/loss")) == 1
    assert story.curve("validation/loss")[-1] < story.curve("validation/loss")[0]
    assert record_of(scene.undisturbed).steps == ROUNDS


@pytest.fixture(autouse=True)
def _nothing_is_left_running() -> Any:
    yield
    while driving.STARTED:
        driving.STARTED.pop().end()


@pytest.mark.parametrize(
    "rounds",
    [
        pytest.param([3], id="once"),
        pytest.param([1, 2, 5], id="again and again", marks=pytest.mark.slow),
    ],
)
def test_stopped(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rounds: list[int]
) -> None:
    """Each signal ends the round and writes a checkpoint; the same call goes on."""
    train, stops = Server._round, [*rounds]

    def interrupted(server: Server, round: int) -> None:
        if round in stops:
            stops.remove(round)
            os.kill(os.getpid(), signal.SIGINT)
        train(server, round)

    monkeypatch.setattr(Server, "_round", interrupted)
    for round in rounds:
        with pytest.raises(Interrupted, match=f"after round {round + 1} of {ROUNDS}; a checkp"):
            scene.calm(tmp_path)
    assert_same_run(scene.calm(tmp_path), scene.undisturbed)
