"""The jobs that a sweep leaves: run elsewhere they give the trial's numbers, bit for bit."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

import trainwright
from trainwright.job import Job
from trainwright.orchestration.signals import StopRequest
from trainwright.runs import RunRecord
from trainwright.search.best import BEST, FRONT, write_best
from trainwright.search.plan import Plan, make_plan
from trainwright.search.trialling.course import Report, TrialMonitor
from trainwright.search.trialling.working import Kit, Task
from trainwright.search.trials import Segment, Trial
from trainwright.storage import Folder

LOSSES = """\
from helper import factor
from torch import Tensor, nn

class Scaled(nn.Module):
    couples = "sample"

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return factor(self.scale) * nn.functional.cross_entropy(logits, target)
"""
SWEEP: dict[str, Any] = {
    "kind": "sweep",
    "name": "rates",
    "base": {
        "seed": 7,
        "data": {
            "source": "points.csv",
            "validation": {"source": "held/out.csv"},
            "columns": {
                "input": {"type": "vector", "from": ["a", "b"]},
                "target": {"type": "class", "from": "y", "classes": 2},
            },
        },
        "model": {"name": "mlp", "hidden": [8]},
        "objective": "cross_entropy",
        "optimizer": {"name": "sgd", "lr": 0.1},
        "metrics": ["accuracy"],
        "training": {"epochs": 2},
        "cluster": {"workers": 0},
    },
    "space": {
        "objective": {
            "choice": ["cross_entropy", {"name": "losses.py:Scaled", "scale": {"uniform": [1, 2]}}]
        },
        "optimizer.lr": {"loguniform": [0.01, 1.0]},
    },
    "metric": "validation/loss",
    "storage": "kept",
    "tracking": {"enabled": False, "uri": "sqlite:///$${odd}.db"},
}
VALUES = {
    "objective": "losses.py:Scaled",
    "objective[losses.py:Scaled].scale": 1.25,
    "optimizer.lr": 0.3,
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a sweep, data and plugin files; the working directory."""
    folder = tmp_path / "project"
    (folder / "held").mkdir(parents=True)
    rows = [f"{i % 7},{i % 5},{int(i % 7 > i % 5)}" for i in range(60)]
    (folder / "points.csv").write_text("\n".join(["a,b,y", *rows[:40]]) + "\n")
    (folder / "held/out.csv").write_text("\n".join(["a,b,y", *rows[40:]]) + "\n")
    (folder / "losses.py").write_text(LOSSES)
    (folder / "helper.py").write_text("def factor(scale):\n    return 2 * scale\n")
    (folder / "s.yaml").write_text(yaml.safe_dump(SWEEP))
    monkeypatch.chdir(folder)
    return folder


def train(plan: Plan) -> Report:
    kit = Kit(plan.jobs, plan.name, plan.storage.url, 0, False, False, 1.0, False, {})
    changes = plan.space.changes(VALUES)
    monitor = TrialMonitor(lambda milestone: None, waits=False, needs_checkpoints=False)
    return Task(kit, 3, changes).work(monitor, StopRequest())


def test_it_runs_from_anywhere_and_gives_the_same_numbers(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(Job.load("s.yaml"))
    report = train(plan)
    assert report.state == "finished", report.error
    trial = Trial(3, VALUES, "finished", report.run, metrics=report.metrics)
    folder = plan.storage / plan.name
    write_best(plan, folder, [trial])

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    shutil.rmtree(project / "__pycache__", ignore_errors=True)
    for name in ("losses.py", "helper.py", "s.yaml"):
        (project / name).unlink()
    path = folder.local_path() / BEST
    result = trainwright.run(path)
    assert result.metrics == report.metrics
    assert result.run.rpartition("-")[0] == "rates-best"
    # It is found beside the trials, with the base's own seed and cluster.
    assert Path(result.storage).parent == project / "kept"
    values = yaml.safe_load(path.read_text())
    assert values["seed"] == 7
    assert values["cluster"] == {"workers": 0}
    assert values["tracking"] == SWEEP["tracking"]
    assert values["data"]["source"] == str(project / "points.csv")
    assert f"number 3, validation/loss {report.metrics['validation/loss']:.6g}" in path.read_text()
    assert RunRecord.load(Folder(result.storage)).parent is None  # type: ignore[union-attr]


def test_every_member_of_the_front_has_a_job(project: Path) -> None:
    values = {**SWEEP, "metric": ["validation/loss", "parameters"]}
    plan = make_plan(Job.from_dict(values, base=project))
    folder = plan.storage / plan.name
    plain = {"objective": "cross_entropy", "optimizer.lr": 0.25}
    trials = [Trial(n, {**plain, "optimizer.lr": 0.1 * n}, "finished") for n in (4, 11)]
    write_best(plan, folder, trials)
    write_best(plan, folder, trials[1:])  # the other one was beaten since
    assert (folder / FRONT).names() == ["011.yaml"]
    written = yaml.safe_load((folder / FRONT).read_bytes("011.yaml"))
    assert written["optimizer"]["lr"] == pytest.approx(1.1)
    assert written["name"] == "rates-front-11"


def test_of_a_population_it_says_that_the_values_changed(project: Path) -> None:
    plan = make_plan(Job.load("s.yaml"))
    folder = plan.storage / plan.name
    plain = {"objective": "cross_entropy", "optimizer.lr": 0.25}
    trial = Trial(0, plain, "finished", segments=[Segment("r", plain), Segment("r", plain)])
    write_best(plan, folder, [trial])
    assert "changed its values on the way" in (folder.local_path() / BEST).read_text()
