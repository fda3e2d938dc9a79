"""Procedures on Ray and after kill -9: the same results as in one process, nothing done twice."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from driving import KILLED, start, wait_until, write_job
from stories import record_of, the_run

import trainwright
from trainwright.errors import RunError

PROCEDURE = """
import os
import signal
import time
from pathlib import Path

import torch

from trainwright import Procedure
from trainwright.procedure import generator


class Draws(Procedure):
    def __init__(self, folder: str, count: int = 6, pause_s: float = 0.0) -> None:
        self.folder = folder
        self.count = count
        self.pause_s = pause_s

    def run(self, context):
        seed, data, folder, pause_s = context.seed, context.data, self.folder, self.pause_s

        def draw(item):
            place = Path(folder)
            if item == 3 and (place / "kill").exists():
                (place / "kill").unlink()
                os.kill(os.getpid(), signal.SIGKILL)
            if item == 4 and (place / "fail").exists():
                raise ValueError("this one is bad")
            time.sleep(pause_s)
            with (place / "done.txt").open("a") as file:
                file.write(f"{item} {os.getpid()}\\n")
            noise = torch.randn(3, generator=generator(seed, "draw", item))
            return {"noise": noise, "size": len(data.table("train")) * item}

        found = context.map(draw, range(self.count), name="draws")
        for one in found:
            context.log({"size": one["size"]})
        return {"sum": sum(float(one["noise"].sum()) + one["size"] for one in found)}
"""


def values(folder: Path, workers: int, **options: Any) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    (folder / "draws.py").write_text(PROCEDURE)
    return {
        "kind": "procedure",
        "name": "draws",
        "seed": 3,
        "data": {"source": "wine"},
        "procedure": {"name": "draws.py:Draws", "folder": str(folder), **options},
        "cluster": {"workers": workers, "cpus_per_worker": 0.5},
        "storage": str(folder / "runs"),
        "tracking": {"enabled": False},
    }


def done(folder: Path) -> list[tuple[int, int]]:
    """Item and process, for each that was done."""
    lines = (folder / "done.txt").read_text().splitlines() if (folder / "done.txt").exists() else []
    return [(int(item), int(process)) for item, process in (line.split() for line in lines)]


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """What it finds, undisturbed, in this process."""
    folder = tmp_path_factory.mktemp("calm")
    return trainwright.run(write_job(folder, values(folder, 0))).metrics


@pytest.mark.usefixtures("cluster")
def test_on_ray_a_lost_process_and_a_bad_item(tmp_path: Path, calm: dict[str, float]) -> None:
    job = write_job(tmp_path, values(tmp_path, 2))
    (tmp_path / "kill").touch()
    (tmp_path / "fail").touch()
    with pytest.raises(
        RunError, match=r"item 4 of draws \(4\) failed: ValueError: this one is bad"
    ):
        trainwright.run(job)
    finished = {item for item, _ in done(tmp_path)}
    assert not (tmp_path / "kill").exists(), "item 3 was tried again after its process was lost"
    assert len(finished & {0, 1, 2, 3}) >= 3, "at most the item beside the failed one is lost"
    (tmp_path / "fail").unlink()
    kept = len(list((the_run(tmp_path / "runs") / "steps").iterdir()))
    result = trainwright.run(job)
    assert result.metrics == calm
    items = Counter(item for item, _ in done(tmp_path))
    assert items.keys() == set(range(6))
    assert sum(items.values()) <= 6 + (len(finished) - kept)
    assert os.getpid() not in {process for _, process in done(tmp_path)}


def test_kill_9_goes_on_after_the_recorded_steps(tmp_path: Path, calm: dict[str, float]) -> None:
    job = write_job(tmp_path, values(tmp_path, 0, pause_s=0.3))
    driver = start(job)
    wait_until(lambda: len(list(tmp_path.glob("runs/*/steps/*.safetensors"))) >= 2, what="steps")
    driver.kill()
    assert driver.wait() == KILLED
    run = the_run(tmp_path / "runs")
    recorded = len(list((run / "steps").glob("*.safetensors")))
    assert 2 <= recorded < 6
    assert record_of(run).true_status == "interrupted"
    again = start(job)
    assert again.wait() == 0
    assert record_of(run).metrics == calm
    assert record_of(run).status == "finished"
    by_process = Counter(process for _, process in done(tmp_path))
    assert by_process[again.process.pid] == 6 - recorded
