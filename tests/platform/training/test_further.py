"""Further data and models of a strategy, in whole jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import trainwright
from trainwright.errors import InputError
from trainwright.orchestration.launch import run_job

PLUGINS = '''
import torch
from torch.nn.functional import mse_loss
from trainwright import Strategy
from trainwright.strategy import AuxModel, Stream


class Linear(torch.nn.Linear):
    def __init__(self) -> None:
        super().__init__(13, 3)


class Consistency(Strategy):
    """Unlabelled samples: the model agrees with its own average (Tarvainen and Valpola 2017)."""

    def __init__(self, source: str = "unlabelled", size: int = 40) -> None:
        self.source, self.size = source, size

    def streams(self):
        return {"more": Stream(source=self.source, batch_size=self.size)}

    def models(self, context):
        return {"teacher": AuxModel(ema_of="model", decay=0.9)}

    def begin(self, context):
        self.context = context

    def step(self, step, take):
        more = step.next("more")
        taught = self.context.models["teacher"](more)["logits"]
        ordinary = step.gradient()
        extra = step.gradient(
            lambda batch: mse_loss(step.forward(batch)["logits"], taught), batches=[more]
        )
        step.set_gradient(ordinary + 0.1 * extra)
        step.update()


class Taught(Strategy):
    """A teacher whose argument is called as the model's."""

    def models(self, context):
        return {"teacher": AuxModel(module=torch.nn.Flatten())}

    def begin(self, context):
        self.context = context

    def loss(self, batch, compute):
        flat = self.context.models["teacher"](batch)["logits"]
        assert flat.equal(batch["features"].flatten(1))
        return compute(batch)


class Twice(Consistency):
    """Names the same stream again."""
'''


@pytest.fixture(autouse=True)
def _beside_the_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def job(folder: Path, **changes: Any) -> dict[str, Any]:
    (folder / "more.py").write_text(PLUGINS)
    return {
        "name": "further",
        "data": {
            "source": "wine",
            "batch_size": 32,
            "validation": 0.2,
            "transforms": ["standardize"],
            "sources": {"unlabelled": {"source": "wine", "transforms": ["standardize"]}},
        },
        "model": {"name": "mlp", "hidden": [8]},
        "objective": "cross_entropy",
        "strategies": [{"name": "more.py:Consistency"}],
        "training": {"steps": 8, "checkpoint_every": "4 steps"},
        "cluster": {"workers": 0},
        "storage": str(folder / "runs"),
        "tracking": {"enabled": False},
        **changes,
    }


def _weights(run: Any) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(Path(run.storage.removeprefix("file://")) / "export" / "model.safetensors")


def test_streams_and_averages_go_on_where_a_run_was_left(tmp_path: Path) -> None:
    whole = trainwright.run(job(tmp_path))
    short = job(tmp_path, name="short", training={"steps": 4, "checkpoint_every": "4 steps"})
    half = trainwright.run(short)
    longer = job(tmp_path, name="short", training={"steps": 8, "checkpoint_every": "4 steps"})
    rest = run_job(trainwright.Job.from_dict(longer), resume=half.run)
    assert rest.steps == 8
    ours, theirs = _weights(whole), _weights(rest)
    assert all(ours[name].equal(theirs[name]) for name in theirs)


def test_the_average_and_the_stream_matter(tmp_path: Path) -> None:
    with_it = _weights(trainwright.run(job(tmp_path)))
    without = _weights(trainwright.run(job(tmp_path, strategies=[])))
    assert any(not with_it[name].equal(without[name]) for name in without)


def test_arguments_called_as_the_models_read_what_those_read(tmp_path: Path) -> None:
    """``input`` is an argument of both modules, and no column of the data."""
    values = job(
        tmp_path,
        strategies=[{"name": "more.py:Taught"}],
        model={"name": "more.py:Linear", "inputs": {"input": "features"}},
    )
    assert trainwright.run(values).steps == 8


def problems(values: dict[str, Any]) -> str:
    with pytest.raises(InputError) as caught:
        trainwright.validate(values)
    return str(caught.value)


def test_a_stream_without_data_is_told_with_the_nearest_name(tmp_path: Path) -> None:
    values = job(tmp_path)
    values["strategies"][0]["source"] = "unlabeled"
    message = problems(values)
    assert "unlabeled" in message
    assert "unlabelled" in message
    assert "data.sources" in message


def test_a_misspelt_key_of_a_named_source(tmp_path: Path) -> None:
    values = job(tmp_path)
    values["data"]["sources"]["unlabelled"] = {"sourc": "wine"}
    message = problems(values)
    assert "data.sources.unlabelled" in message
    assert "source" in message


def test_a_named_source_that_does_not_exist(tmp_path: Path) -> None:
    values = job(tmp_path)
    values["data"]["sources"]["unlabelled"]["source"] = "wien"
    message = problems(values)
    assert "data.sources.unlabelled.source" in message
    assert "wine" in message


def test_two_strategies_cannot_share_a_name(tmp_path: Path) -> None:
    values = job(tmp_path)
    values["strategies"].append({"name": "more.py:Twice"})
    assert "of this name" in problems(values)


def test_named_sources_in_memory_are_refused_with_workers(tmp_path: Path) -> None:
    values = job(tmp_path, cluster={"workers": 2})
    values["data"]["sources"]["unlabelled"] = {"source": "memory://more.parquet"}
    message = problems(values)
    assert "data.sources.unlabelled.source" in message
    assert "s3" in message


def test_a_named_source_enters_the_name_of_the_run(tmp_path: Path) -> None:
    values = job(tmp_path)
    first = trainwright.validate(values).run
    values["data"]["sources"]["unlabelled"]["transforms"] = []
    assert trainwright.validate(values).run != first
