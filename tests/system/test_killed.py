"""kill -9 of a run in one process, at every kind of moment; the same command ends it bit-equal."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import sabotage
from driving import KILLED, drive, start, write_job
from stories import Story, assert_same_run, record_of, the_run

SABOTEUR = Path(__file__).parent / "plugins" / "saboteur.py"
STEPS = 20
"""Early stopping ends the job here, long before its six epochs are over."""


class Scene:
    """A job with everything that has state, its undisturbed run, and a storage for each test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.orders = folder / "orders"
        self.orders.mkdir()
        (folder / "saboteur.py").write_bytes(SABOTEUR.read_bytes())
        self.job = write_job(folder, self._values())
        self.log = folder / "changes.log"
        calm = folder / "undisturbed"
        code = start(
            self.job,
            [f"storage={calm}"],
            before=sabotage.count_changes,
            arguments=[str(calm), str(self.log)],
        ).wait()
        assert code == 0
        self.undisturbed = the_run(calm)
        self.num_changes = len(self.log.read_text().splitlines())

    def _values(self) -> dict[str, Any]:
        return {
            "name": "killed",
            "data": {"source": "digits", "batch_size": 128, "validation": 0.2, "test": 0.1},
            "data.transforms": [{"name": "random_crop", "padding": 1}],
            "model": {"name": "convnet", "width": 4, "dropout": 0.3},
            "objective": {"name": "z_loss", "a": 2.0, "b": 2.0},
            "strategies": [
                {"name": "multi_sample_dropout", "num_samples": 4},
                {"name": "ghost_batch_norm", "ghost_batch_size": 32},
                {"name": "early_stopping", "patience": 2, "min_delta": 0.1},
                {"name": "saboteur.py:Saboteur", "orders": str(self.orders)},
            ],
            "optimizer": {"name": "adamw", "lr": 0.03},
            "schedule": {"name": "cosine", "warmup": 0.1},
            "training": {
                "epochs": 6,
                "evaluate_every": "4 steps",
                "checkpoint_every": "3 steps",
                "max_grad_norm": 1.0,
                "monitor": "validation/accuracy",
                "record_samples": True,
            },
            "metrics": ["accuracy"],
            "cluster": {"workers": 0},
            "tracking": {"enabled": False},
        }

    def order(self, orders: Iterable[str]) -> None:
        for order in orders:
            (self.orders / f"{order}-0").touch()

    def drive(self, storage: Path) -> int:
        return drive(self.job, f"storage={storage}")

    def kill_at_change(self, storage: Path, number: int) -> int:
        return start(
            self.job,
            [f"storage={storage}"],
            before=sabotage.kill_at_change,
            arguments=[str(storage), number],
        ).wait()

    def assert_undisturbed(self, storage: Path) -> None:
        assert list(self.orders.iterdir()) == []
        assert_same_run(the_run(storage), self.undisturbed)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return Scene(tmp_path_factory.mktemp("scene"))


def test_the_undisturbed_run_is_worth_comparing_with(scene: Scene) -> None:
    story = Story.of(scene.undisturbed)
    assert record_of(scene.undisturbed).steps == STEPS
    assert sorted(story.samples) == list(range(1, STEPS + 1))
    assert len(story.curve("validation/loss")) == 5
    assert len(story.curve("test/accuracy")) == 1
    assert story.curve("validation/accuracy")[-1] > 2 * story.curve("validation/accuracy")[0]


HOOKS = [
    "loss-1",  # before the first checkpoint
    "gradients-4",
    "updated-5",
    "step-6",
    "evaluation-7",  # evaluations follow the updates 4, 8, 12..., which are numbered from 0
    "evaluated-11",
    "state_dict-14",
    "epoch_end-9",
    "writing-17",
    "evaluation-19",  # the last validation, and the evaluation of the test table
    "state_dict-19",
]


@pytest.mark.slow
def test_killed_again_and_again_on_the_way(scene: Scene, tmp_path: Path) -> None:
    """One run, killed at every hook in turn, by one command repeated until it is done."""
    scene.order(HOOKS)
    codes = []
    while not codes or codes[-1] != 0:
        assert len(codes) <= len(HOOKS), "the run does not come to its end"
        codes.append(scene.drive(tmp_path))
    assert set(codes[:-1]) == {KILLED}
    assert len(codes) >= len(HOOKS), "some kills did not happen"
    scene.assert_undisturbed(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("hook", HOOKS)
def test_killed_once(scene: Scene, tmp_path: Path, hook: str) -> None:
    scene.order([hook])
    assert scene.drive(tmp_path) in (KILLED, 0 if hook.startswith("writing") else KILLED)
    assert scene.drive(tmp_path) == 0
    scene.assert_undisturbed(tmp_path)


PLACES = [
    "open run/journal/",
    "os.rename run/checkpoints/step/rank-00000-of-00001.safetensors",
    "os.rename run/checkpoints/step/manifest.json",
    "os.remove run/checkpoints/step/manifest.json",
    "shutil.rmtree run/checkpoints/step",
    "open run/run.json",
    "open run/plots/loss.png",
    "open run/export/model.safetensors",
]


def test_killed_at_changes_of_the_run_folder(scene: Scene, tmp_path: Path) -> None:
    """Before a file is made, renamed or removed: the last time that it happens."""
    changes = [
        re.sub(r"step-\d+-a\d+", "step", line.replace(scene.undisturbed.name, "run"))
        for line in scene.log.read_text().splitlines()
    ]
    numbers = [
        max(number for number, line in enumerate(changes) if line.startswith(place))
        for place in PLACES
    ]
    _killed_at(scene, tmp_path, numbers)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_at_every_change_of_the_run_folder(scene: Scene, tmp_path: Path) -> None:
    _killed_at(scene, tmp_path, range(scene.num_changes))


def _killed_at(scene: Scene, folder: Path, places: Iterable[int]) -> None:
    for number in places:
        storage = folder / f"at-{number}"
        # How the threads take turns decides how many changes there are, by a few.
        code = scene.kill_at_change(storage, number)
        assert code in (KILLED, 0 if number > scene.num_changes - 10 else KILLED), number
        assert scene.drive(storage) == 0, f"killed before change {number}"
        scene.assert_undisturbed(storage)


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(s, marks=pytest.mark.slow) for s in range(1, 6))]
)
def test_killed_at_random_moments(scene: Scene, tmp_path: Path, seed: int) -> None:
    """Again and again, the n-th time a little later, until a run gets through."""
    rng = random.Random(seed)
    codes = [KILLED]
    while codes[-1] != 0:
        driver = start(scene.job, [f"storage={tmp_path}"])
        driver.process.join(rng.uniform(0.1, 0.6) * 1.15 ** len(codes))
        driver.kill()
        codes.append(driver.wait())
        assert codes[-1] in (0, KILLED)
        assert len(codes) < 60
    scene.assert_undisturbed(tmp_path)
    assert scene.drive(tmp_path) == 0, "a finished run says so"
    scene.assert_undisturbed(tmp_path)


def test_the_comparison_can_fail(scene: Scene, tmp_path: Path) -> None:
    """Another seed gives another run, and every part of the comparison sees it."""
    assert drive(scene.job, f"storage={tmp_path}", "seed=1") == 0
    other, own = Story.of(the_run(tmp_path)), Story.of(scene.undisturbed)
    assert other.metrics["train/loss", 1] != own.metrics["train/loss", 1]
    assert other.samples[1] != own.samples[1]
    with pytest.raises(AssertionError):
        assert_same_run(the_run(tmp_path), scene.undisturbed)
