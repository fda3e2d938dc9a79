"""A model whose weights no worker may hold: built, started, trained, saved, resumed, exported."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from driving import write_job
from gloo import Workers
from safetensors.torch import save_file
from stories import Story

from trainwright.job import Job

pytestmark = pytest.mark.slow

DIM, DEPTH, WORLD = 512, 16, 4
MODEL = '''
from torch import nn

from trainwright.models.gpt import GPT


class Adapted(nn.Module):
    """A large frozen body and a small trained head."""

    def __init__(self, vocabulary_size: int, sequence_length: int, depth: int, dim: int) -> None:
        super().__init__()
        self.body = GPT(vocabulary_size, sequence_length, dim=dim, depth=depth, heads=4)
        self.body.requires_grad_(False)
        self.head = nn.Linear(dim, vocabulary_size)

    def forward(self, tokens):
        return self.head(self.body(tokens)["embedding"])
'''
JOB = {
    "name": "large",
    "data": {"source": {"name": "text", "files": "story.txt", "length": 8}, "batch_size": 8},
    "objective": "causal_lm",
    "optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9},
    "cluster.workers": WORLD,
    "tracking.enabled": False,
    "deepspeed.zero_optimization": {
        "stage": 3,
        "reduce_bucket_size": 1_000_000,
        "stage3_prefetch_bucket_size": 1_000_000,
        "stage3_max_live_parameters": 1_000_000,
        "stage3_param_persistence_threshold": 1_000,
    },
}


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Workers]:
    # Blocks of memory that are given back when they are freed, so that what is counted is held.
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "65536")
    workers = Workers(WORLD)
    yield workers
    workers.close()


def _data_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmData"))


def _limited(
    job: dict[str, Any], folder: str, limit: int | None, weights: list[str], in_parts: bool = True
) -> str:
    """Runs on every worker, which may not have ``limit`` more bytes than now; how it ended."""
    import resource
    from unittest.mock import patch

    from trainwright.training import assembling
    from trainwright.training.starting import Place
    from trainwright.training.worker import WorkOrder, work

    place = Place(folder, tuple(weights)) if weights else None
    order = WorkOrder(job, folder, f"{folder}/run", weights=place)
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (_data_bytes() + limit, hard))
    try:
        if in_parts:
            return f"finished {work(order, None).steps}"
        with patch.object(assembling, "is_sharded", lambda job: False):
            return f"finished {work(order, None).steps}"
    except RuntimeError as error:
        return str(error)
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _job(folder: Path, steps: int, depth: int = DEPTH) -> dict[str, Any]:
    model = {"name": "adapted.py:Adapted", "dim": DIM, "depth": depth}
    values = {**JOB, "model": model, "training.steps": steps}
    return Job.load(write_job(folder, values)).spec.model_dump(mode="json", by_alias=True)


def _starting_weights(folder: Path) -> dict[str, torch.Tensor]:
    """Written in two files; every weight but the head's."""
    namespace: dict[str, Any] = {}
    exec(MODEL, namespace)
    torch.manual_seed(5)
    model = namespace["Adapted"](257, 8, DEPTH, DIM)
    named = {n: p.detach() for n, p in model.named_parameters()}
    names = list(named)
    for file, part in (("a.safetensors", names[::2]), ("b.safetensors", names[1::2])):
        save_file({name: named[name] for name in part}, folder / file)
    return named


def test_a_model_larger_than_what_a_worker_may_hold(workers: Workers, tmp_path: Path) -> None:
    from trainwright.checkpoint import CheckpointStore
    from trainwright.orchestration.exporting import export_run
    from trainwright.storage import Folder

    small = tmp_path / "small"
    for folder in (tmp_path, small):
        folder.mkdir(exist_ok=True)
        (folder / "story.txt").write_text("every worker holds a part of it. " * 20)
        (folder / "adapted.py").write_text(MODEL)
    # Imports and the allocator's first blocks are no part of the model.
    assert workers.run(_limited, _job(small, 1, depth=1), str(small), None, [])[0] == "finished 1"
    given = _starting_weights(tmp_path)
    size = sum(value.numel() * 4 for value in given.values())
    limit, files = int(0.9 * size), ["a.safetensors", "b.safetensors"]
    whole = workers.run(_limited, _job(tmp_path, 2), str(tmp_path), limit, files, False)
    assert all("allocate memory" in end for end in whole), whole
    for steps in (2, 3):  # the second time from the first one's checkpoint
        job = _job(tmp_path, steps)
        ends = workers.run(_limited, job, str(tmp_path), limit, files, timeout_s=200)
        assert ends == [f"finished {steps}"] * WORLD
    run = Folder(str(tmp_path / "run"))
    assert Story.of(tmp_path / "run").attempts == [1, 2]
    assert len(Story.of(tmp_path / "run").curve("train/loss")) == 3
    checkpoint = CheckpointStore(run).latest()
    assert checkpoint is not None
    assert checkpoint.step == 3
    export_run(run, None, Folder(str(tmp_path / "export")))
    _same_but_the_head(tmp_path / "export" / "model.safetensors", given)


def _same_but_the_head(file: Path, given: dict[str, torch.Tensor]) -> None:
    from safetensors import safe_open

    with safe_open(file, "pt") as found:
        for name, value in given.items():
            is_same = torch.equal(found.get_tensor(name), value)
            assert is_same != name.startswith("head."), name
