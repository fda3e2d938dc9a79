"""Two small trained runs, and procedures in a file beside the job."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import trainwright

TRAIN: dict[str, Any] = {
    "data": {"source": "digits", "batch_size": 256, "validation": 0.3},
    "model": {"name": "mlp", "hidden": [16]},
    "objective": "cross_entropy",
    "optimizer": {"name": "sgd", "lr": 0.5},
    "training": {"epochs": 2},
    "metrics": ["accuracy"],
    "cluster": {"workers": 0},
    "tracking": {"enabled": False},
}

PROCEDURES = '''
from pathlib import Path

import numpy as np
import torch

from trainwright import Procedure


def note(text):
    """What was really done, in the order in which it was."""
    with Path("done.txt").open("a") as file:
        file.write(f"{text}\\n")


class Squares(Procedure):
    """Squares of numbers, and their sum.

    Args:
        numbers: to be squared.
        stop_at: the item at which the file stop.txt makes it fail.
    """

    def __init__(self, numbers: list[float], stop_at: int = -1) -> None:
        self.numbers = numbers
        self.stop_at = stop_at

    def run(self, context):
        start = context.step("start", self.start, 1.5, scale=2)
        squares = context.map(self.square, list(enumerate(self.numbers)), name="squares")
        for square in squares:
            context.log({"square": square["value"]})
        total = sum(square["value"] for square in squares)
        context.folder.write_json("total.json", total)
        noise = torch.randn(2, generator=context.rng("noise"))
        return {"total": total, "start": start["value"], "noise": noise[0]}

    def start(self, value, scale):
        note("start")
        return {"value": value * scale, "shape": (2, 3), "array": np.arange(3.0)}

    def square(self, item):
        index, number = item
        if index == self.stop_at and Path("stop.txt").exists():
            raise ValueError("no square for you")
        note(f"square {index}")
        return {"value": number**2, "row": torch.full((2,), number)}


class Twice(Procedure):
    def run(self, context):
        context.step("one", float, 1)
        context.step("one", float, 2)


class Needy(Procedure):
    def check(self, inputs):
        inputs.run("teacher")
        if not inputs.has_data:
            raise ValueError("without samples there is nothing to do")

    def run(self, context):
        return {"size": len(context.table("validation"))}


class Looks(Procedure):
    """What a context gives of runs and data."""

    def run(self, context):
        run = context.run("model")
        batch = next(run.batches("validation", 10))
        batch["image"].requires_grad_()
        run.loss(batch).backward()
        reached = float(batch["image"].grad.abs().sum())
        model = context.model("model")
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.zero_()
        flat = run.evaluate("validation", model)
        other = run.evaluate("validation", context.model("model"))
        with torch.no_grad():
            next(reversed(list(model.parameters()))).add_(torch.arange(10.0))
        return {
            "loss": run.evaluate("validation")["loss"],
            "loss_of_copy": other["loss"],
            "loss_of_zeros": flat["loss"],
            "loss_of_biases": run.evaluate("validation", model)["loss"],
            "left_in_evaluation": not model.training,
            "input_gradient": reached,
            "step": context.checkpoint("model").step,
            "batches": len(list(context.batches("train", 100))),
        }


class NoRun:
    pass


class Bad(Procedure):
    def __init__(self, kind: str) -> None:
        self.kind = kind

    def run(self, context):
        if self.kind == "result":
            return {"model": "no number"}
        if self.kind == "step":
            return {"x": context.step("object", object)}
        if self.kind == "run":
            context.run("nobody")
        raise KeyError("lost")
'''


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage with the runs ``first`` and ``second``, of different seeds."""
    storage = tmp_path_factory.mktemp("trained") / "runs"
    for seed, name in enumerate(("first", "second")):
        trainwright.run({**TRAIN, "name": name, "seed": seed, "storage": str(storage)})
    return storage


@pytest.fixture
def workplace(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with both runs and the file ``procedures.py``."""
    shutil.copytree(trained, tmp_path / "runs")
    (tmp_path / "procedures.py").write_text(PROCEDURES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


@pytest.fixture
def job(workplace: Path) -> Callable[..., dict[str, Any]]:
    """A procedure's job with the options of its procedure; further sections as ``_sections``."""

    def make(name: str, sections: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
        return {
            "kind": "procedure",
            "name": "tried",
            "procedure": {"name": f"procedures.py:{name}", **options},
            "tracking": {"enabled": False},
            **(sections or {}),
        }

    return make


@pytest.fixture(autouse=True)
def _same_folder() -> Iterator[None]:
    before = Path.cwd()
    yield
    os.chdir(before)
