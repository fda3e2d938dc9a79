"""A disk that fills up under a run, to the last byte: training goes on, and nothing is missing."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from driving import Command, drive, write_job
from stories import Story, assert_same_run, record_of, the_run

pytestmark = [pytest.mark.timeout(1200), pytest.mark.slow]

SABOTEUR = Path(__file__).parent / "plugins" / "saboteur.py"
TALKATIVE = """from torch import Tensor, nn


class Talkative(nn.Module):
    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        print("a loss that prints", flush=True)
        return nn.functional.cross_entropy(logits, target)
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of four megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path) -> Path:
    """A file that takes all room there is."""
    path = disk / "filler"
    with path.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))
    return path


def await_checkpoint(command: Command, orders: Path, disk: Path) -> None:
    """Until the run is held at its tenth update and its newest checkpoint is whole."""
    command.until(lambda: (orders / "holding").exists(), "it reached the update")
    manifest = "*/checkpoints/step-00000008-a1/manifest.json"
    command.until(lambda: list(disk.glob(manifest)), "the checkpoint is written")


def job(folder: Path, **changes: Any) -> Path:
    (folder / "saboteur.py").write_bytes(SABOTEUR.read_bytes())
    (folder / "talkative.py").write_text(TALKATIVE)
    (folder / "orders").mkdir()
    return write_job(
        folder,
        {
            "name": "full",
            "data": {"source": "digits", "batch_size": 128, "validation": 0.2},
            "model": "mlp",
            "objective": "talkative.py:Talkative",
            "strategies": [{"name": "saboteur.py:Saboteur", "orders": str(folder / "orders")}],
            "training": {"epochs": 4, "checkpoint_every": "2 steps", "record_samples": True},
            "metrics": ["accuracy"],
            "cluster": {"workers": 0, "cpus_per_worker": 0.5},
            "tracking": {"enabled": False},
            **changes,
        },
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_a_disk_that_is_full_for_a_while(tmp_path: Path, disk: Path, workers: int) -> None:
    path = job(tmp_path)
    changes = (f"cluster.workers={workers}", f"storage={disk}")
    assert drive(path, "cluster.workers=" + str(workers), "storage=calm") == 0

    orders = tmp_path / "orders"
    (orders / "hold-9-0").touch()
    options = [part for change in changes for part in ("-s", change)]
    command = Command("run", path, *options, folder=tmp_path)
    await_checkpoint(command, orders, disk)
    filler = fill(disk)
    (orders / "hold-20-0").touch()
    (orders / "holding").unlink()
    (orders / "hold-9-0").unlink()
    command.until(lambda: (orders / "holding").exists(), "it went on without a checkpoint")
    filler.unlink()
    (orders / "hold-20-0").unlink()
    assert command.wait() == 0, command.errors

    told = " ".join(command.errors.split())
    assert "No space left on device. The newest good one is step-00000008-a1" in told
    assert "checkpoints could not be written on the way" in told
    run = the_run(disk)
    assert record_of(run).status == "finished"
    assert_same_run(run, the_run(tmp_path / "calm"))
    story = Story.of(run)
    assert story.attempts == [1]
    assert len(story.samples) == record_of(run).steps


def test_a_disk_that_stays_full(tmp_path: Path, disk: Path) -> None:
    """What was written before stays good; the same command goes on when there is room."""
    path = job(tmp_path)
    assert drive(path, "storage=calm") == 0
    orders = tmp_path / "orders"
    (orders / "hold-9-0").touch()
    command = Command("run", path, "-s", f"storage={disk}", folder=tmp_path)
    await_checkpoint(command, orders, disk)
    filler = fill(disk)
    (orders / "hold-9-0").unlink()
    assert command.wait() == 1
    told = " ".join(command.errors.split())
    assert "failed: CheckpointError: the last checkpoint could not be written to" in told
    assert "The newest good one is step-00000008-a1" in told
    assert "Traceback" not in told
    filler.unlink()
    assert drive(path, f"storage={disk}") == 0
    assert_same_run(the_run(disk), the_run(tmp_path / "calm"))
