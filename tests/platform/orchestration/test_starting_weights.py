"""Starting weights: from safetensors files and from runs, by name; what does not fit is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import averaging
import pytest
import torch
from safetensors.torch import load_file, save_file
from stories import runs_in
from torch import Tensor

import trainwright
from trainwright.errors import InputError
from trainwright.models.mlp import MLP

DATA = {"source": {"name": "synthetic_classification", "num_samples": 64}, "batch_size": 16}


def _job(folder: Path, name: str = "second", **model: Any) -> trainwright.Job:
    """A job that trains without moving anything, so that its export is what it started from."""
    values = {
        "name": name,
        "data": DATA,
        "model": {"name": "mlp", "hidden": [8], **model},
        "objective": "cross_entropy",
        "optimizer": {"name": "sgd", "lr": 0.0},
        "training": {"steps": 1},
        "cluster": {"workers": 0},
        "storage": str(folder / "runs"),
        "tracking": {"enabled": False},
    }
    return trainwright.Job.from_dict(values, base=folder)


def _exported(folder: Path, job: trainwright.Job) -> dict[str, Tensor]:
    result = trainwright.run(job)
    return load_file(folder / "runs" / result.run / "export" / "model.safetensors")


def _assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


@pytest.fixture
def file(tmp_path: Path) -> Path:
    torch.manual_seed(123)
    save_file(MLP(20, 4, [8]).state_dict(), tmp_path / "weights.safetensors")
    return tmp_path / "weights.safetensors"


@pytest.mark.parametrize("form", ["weights.safetensors", "./", "file://{folder}"])
def test_weights_of_a_file(file: Path, tmp_path: Path, form: str) -> None:
    weights = form.format(folder=tmp_path)
    _assert_same(_exported(tmp_path, _job(tmp_path, weights=weights)), load_file(file))


def test_the_content_names_the_run_and_not_the_path(file: Path, tmp_path: Path) -> None:
    def name(**model: Any) -> str:
        return trainwright.validate(_job(tmp_path, **model)).run

    first = name(weights="weights.safetensors")
    (tmp_path / "copy.safetensors").write_bytes(file.read_bytes())
    assert name(weights="copy.safetensors") == first
    assert name(weights={"from": "copy.safetensors", "skip": ["head.*"]}) != first
    assert name() != first
    state = load_file(file)
    save_file({**state, "head.bias": state["head.bias"] + 1}, tmp_path / "copy.safetensors")
    assert name(weights="copy.safetensors") != first


def test_a_part_of_the_weights(file: Path, tmp_path: Path) -> None:
    state = load_file(file)
    save_file({**state, "head.weight": torch.zeros(9, 8)}, file)
    with pytest.raises(InputError, match=r"head.weight has another shape"):
        trainwright.validate(_job(tmp_path, weights="weights.safetensors"))
    job = _job(tmp_path, weights={"from": "weights.safetensors", "skip": ["head.*"]})
    given, plain = _exported(tmp_path, job), _exported(tmp_path, _job(tmp_path, "plain"))
    assert torch.equal(given["body.0.weight"], state["body.0.weight"])
    assert torch.equal(given["head.weight"], plain["head.weight"])


def test_every_weight_that_does_not_fit_is_named(file: Path, tmp_path: Path) -> None:
    state = load_file(file)
    state["neck.weight"] = state.pop("head.weight")
    save_file({**state, "body.0.bias": torch.zeros(7)}, file)
    with pytest.raises(InputError) as refused:
        trainwright.validate(_job(tmp_path, weights="weights.safetensors"))
    said = [problem.message for problem in refused.value.problems]
    assert said == [
        "the model has weights that are not there: head.weight",
        "there are weights that the model does not have: neck.weight",
        "body.0.bias has another shape",
    ]


def test_what_is_no_weights(file: Path, tmp_path: Path) -> None:
    torch.save({}, tmp_path / "pickled.pt")
    (tmp_path / "short.safetensors").write_bytes(file.read_bytes()[:40])
    (tmp_path / "folder").mkdir()
    for weights, words in {
        "nowhere.safetensors": "no such file",
        "short.safetensors": "no safetensors file",
        "./folder": "no safetensors files",
        "pickled.pt": "no safetensors files",
        "nobody": "no such run",
    }.items():
        with pytest.raises(InputError, match=words) as refused:
            trainwright.validate(_job(tmp_path, weights=weights))
        assert refused.value.problems[0].path == "model.weights"


def _earlier(folder: Path, **changes: Any) -> Path:
    """A trained run with batch norm; its last checkpoints are kept."""
    (folder / "averaging.py").write_bytes(Path(averaging.__file__).read_bytes())
    values = {
        "name": "first",
        "data": DATA,
        "model": {"name": "mlp", "hidden": [8], "batch_norm": True},
        "objective": "cross_entropy",
        "optimizer": {"name": "sgd", "lr": 0.5},
        "training": {"steps": 4, "checkpoint_every": "2 steps"},
        "cluster": {"workers": 0},
        "storage": str(folder / "runs"),
        "tracking": {"enabled": False},
        **changes,
    }
    trainwright.run(trainwright.Job.from_dict(values, base=folder))
    (run,) = runs_in(folder / "runs")
    return run


def test_weights_of_an_earlier_run(tmp_path: Path) -> None:
    run = _earlier(tmp_path)
    last = load_file(run / "export" / "model.safetensors")
    job = _job(tmp_path, weights="first", batch_norm=True)
    given = _exported(tmp_path, job)
    same = [name for name in last if "body.1" not in name or not name.startswith("body.1.running")]
    _assert_same(
        {n: given[n] for n in same if "num" not in n}, {n: last[n] for n in same if "num" not in n}
    )
    assert f"weights: from {run.name}@4" in trainwright.validate(job).summary
    trainwright.export("first", storage=tmp_path / "runs", to=tmp_path / "early", checkpoint=2)
    early = load_file(tmp_path / "early" / "model.safetensors")
    given = _exported(tmp_path, _job(tmp_path, weights="first@2", batch_norm=True))
    assert torch.equal(given["head.weight"], early["head.weight"])
    assert not torch.equal(given["head.weight"], last["head.weight"])
    with pytest.raises(InputError, match="keeps no checkpoint of this step"):
        trainwright.validate(_job(tmp_path, weights="first@3", batch_norm=True))


def test_weights_of_a_run_are_those_that_it_exports(tmp_path: Path) -> None:
    """Through its strategies' hooks: the statistics are the recalibrated ones."""
    run = _earlier(tmp_path, strategies=[{"name": "averaging.py:Recalibration"}])
    values = load_file(run / "export" / "model.safetensors")
    job = _job(tmp_path, weights="first", batch_norm=True)
    result = trainwright.run(job)
    started = load_file(tmp_path / "runs" / result.run / "start" / "model.safetensors")
    _assert_same(started, values)


def _on_workers(folder: str, stage: int) -> None:
    """Runs on every worker: one update that moves nothing, from starting weights."""
    from trainwright.job import Job
    from trainwright.training.starting import Place
    from trainwright.training.worker import WorkOrder, work

    values = {
        "name": "workers",
        "data": DATA,
        "model": {"name": "mlp", "hidden": [8]},
        "objective": "cross_entropy",
        "optimizer": {"name": "sgd", "lr": 0.0},
        "training": {"steps": 1},
        "tracking": {"enabled": False},
        "cluster": {"workers": 2},
        "deepspeed": {"zero_optimization": {"stage": stage}},
    }
    job = Job.from_dict(values, base=folder).spec.model_dump(mode="json", by_alias=True)
    place = Place(folder, ("weights.safetensors",))
    work(WorkOrder(job, folder, f"{folder}/run-{stage}", weights=place), None)


@pytest.mark.parametrize("stage", [1, 3])
def test_every_worker_starts_from_them(
    file: Path, tmp_path: Path, stage: int, two_workers: Any
) -> None:
    from trainwright.orchestration.exporting import export_run
    from trainwright.storage import Folder

    two_workers.run(_on_workers, str(tmp_path), stage)
    export_run(Folder(f"{tmp_path}/run-{stage}"))
    exported = load_file(tmp_path / f"run-{stage}" / "export" / "model.safetensors")
    _assert_same(exported, load_file(file))
