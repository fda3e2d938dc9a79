"""Each model on each kind of data, as whole jobs in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from driving import write_job
from stories import Story, record_of, the_run, weights_of

from trainwright.job import Job
from trainwright.orchestration.launch import run_job

OWN = """
import torch
from torch import nn
from torch.nn import functional


class InBatch(nn.Module):
    couples = "batch"

    def forward(self, query, document):
        logits = query @ document.T / 0.2
        return functional.cross_entropy(logits, torch.arange(len(query), device=query.device))
"""

COMMON = {
    "name": "small",
    "optimizer": {"name": "adamw", "lr": 0.01},
    "training": {"epochs": 2},
    "cluster": {"workers": 0},
    "tracking": {"enabled": False},
}
TINY = {"model_type": "gpt2", "n_layer": 1, "n_head": 2, "n_embd": 32}
PICTURES = {
    "model_type": "vit",
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "hidden_size": 32,
    "intermediate_size": 64,
    "patch_size": 4,
}
TEXT = {
    "source": {"name": "text", "files": "words/*.txt", "length": 32},
    "batch_size": 8,
    "validation": 0.1,
}
VIEWS = {
    "name": "two_views",
    "transforms": [{"name": "random_crop", "padding": 1}, {"name": "gaussian_noise", "std": 0.1}],
}

JOBS: dict[str, dict[str, Any]] = {
    "gpt": {
        "data": TEXT,
        "model": {"name": "gpt", "dim": 32, "depth": 1},
        "objective": "causal_lm",
        "metrics": ["accuracy", "perplexity"],
    },
    "hf": {"data": TEXT, "model": {"name": "hf", "config": TINY}, "objective": "causal_lm"},
    "hf_images": {
        "data": {"source": "digits", "batch_size": 128},
        "model": {"name": "hf", "task": "image_classification", "config": PICTURES},
        "objective": "cross_entropy",
    },
    "tokens_of_files": {
        "data": {
            "source": "tokens.parquet",
            "columns": {"tokens": {"type": "tokens"}},
            "transforms": ["next_token"],
            "batch_size": 16,
            "validation": 0.2,
        },
        "model": {"name": "gpt", "dim": 16, "depth": 1, "heads": 2},
        "objective": "causal_lm",
        "metrics": ["accuracy"],
    },
    "segmentation": {
        "data": {
            "source": {"name": "synthetic_shapes", "num_samples": 100},
            "batch_size": 10,
            "validation": 0.2,
        },
        "model": {"name": "unet", "width": 8},
        "objective": "cross_entropy",
        "metrics": ["accuracy"],
    },
    "denoising": {
        "data": {
            "source": "digits",
            "batch_size": 128,
            "transforms": [{"name": "two_views", "transforms": ["gaussian_noise"]}],
        },
        "model": {"name": "unet", "width": 8, "out_channels": 1, "inputs": {"x": "view_1"}},
        "objective": {"name": "mse", "bind": {"target": "image"}},
    },
    "contrastive": {
        "data": {"source": "digits", "batch_size": 128, "validation": 0.2, "transforms": [VIEWS]},
        "model": {
            "name": "two_tower",
            "query": {"name": "convnet", "width": 8},
            "dim": 16,
            "inputs": {"query": "view_1", "document": "view_2"},
        },
        "objective": "own.py:InBatch",
    },
    "links": {
        "data": {"source": "graph_links", "batch_size": 64, "validation": 0.2},
        "model": {
            "name": "two_tower",
            "query": "bag_of_tokens",
            "dim": 16,
            "normalize": False,
            "inputs": {"query": "node_1", "document": "node_2"},
        },
        "objective": {"name": "bce_with_logits", "bind": {"input": "score"}},
    },
    "nodes": {
        "data": {"source": {"name": "graph_nodes", "hops": 2}, "batch_size": 8},
        "model": {"name": "mlp", "hidden": []},
        "objective": "cross_entropy",
    },
    "bags": {
        "data": {
            "source": {"name": "synthetic_bags", "num_bags": 60},
            "batch_size": 20,
            "validation": 0.2,
        },
        "model": {"name": "mlp", "hidden": [8]},
        "objective": {"name": "mse", "bind": {"target": "bag_target"}},
    },
    "sets": {
        "data": {"source": {"name": "synthetic_sets", "num_samples": 200}, "batch_size": 20},
        "model": {"name": "mlp", "hidden": [16]},
        "objective": "cross_entropy",
    },
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "words").mkdir()
    for number in range(3):
        text = f"one two three {number} äöü " * (20 + number)
        (tmp_path / "words" / f"{number}.txt").write_text(text)
    pq.write_table(pa.table({"tokens": ragged(60)}), tmp_path / "tokens.parquet")
    return tmp_path


def ragged(rows: int) -> list[list[int]]:
    """Sequences that count up from a random token, of 1 to 9 tokens."""
    chance = np.random.default_rng(0)
    starts, lengths = chance.integers(0, 12, rows), chance.integers(2, 10, rows)
    return [[int(s + i) % 12 for i in range(n)] for s, n in zip(starts, lengths, strict=True)]


@pytest.mark.parametrize("name", JOBS)
def test_small_job(name: str, folder: Path) -> None:
    run_job(Job.load(write_job(folder, {**COMMON, **JOBS[name]})))
    run = the_run(folder / "runs")
    losses = Story.of(run).curve("train/loss")
    assert min(losses[-3:]) < losses[0]
    assert record_of(run).status == "finished"
    metrics = record_of(run).metrics
    if "validation" in JOBS[name]["data"]:
        assert np.isfinite(metrics["validation/loss"])
    if name == "gpt":
        perplexity = np.exp(metrics["validation/loss"])
        assert metrics["validation/perplexity"] == pytest.approx(perplexity, rel=1e-4)
        assert 0 < metrics["validation/accuracy"] < 1
        weights = weights_of(run)
        assert torch.equal(weights["head.weight"], weights["tokens.weight"])
    if name == "contrastive":
        weights = weights_of(run)
        assert torch.equal(weights["query.head.weight"], weights["document.head.weight"])


LM = {
    "name": "lm",
    "data": {
        "source": "tokens.parquet",
        "columns": {"tokens": {"type": "tokens"}},
        "transforms": ["next_token"],
        "batch_size": 24,
    },
    "model": {"name": "gpt", "dim": 16, "depth": 2, "heads": 2},
    "objective": "causal_lm",
    "optimizer": {"name": "sgd", "lr": 0.5},
    "training": {"epochs": 3, "record_samples": True},
    "engine": "deepspeed",
    "tracking": {"enabled": False},
}


def by_hand(folder: Path, samples: dict[int, list[int]]) -> list[float]:
    """Plain PyTorch on the same batches: one cross-entropy over all tokens of a batch."""
    from trainwright.models import GPT
    from trainwright.training.randomness import seed_all

    rows = pq.read_table(folder / "tokens.parquet").column("tokens").to_pylist()
    longest = max(map(len, rows)) - 1
    seed_all(0, "init")
    model = GPT(12, longest, dim=16, depth=2, heads=2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    losses = []
    for step in sorted(samples):
        logits, targets = [], []
        for row in samples[step]:
            tokens = torch.tensor(rows[row])
            logits.append(model(tokens[None, :-1])["logits"][0])
            targets.append(tokens[1:])
        loss = torch.nn.functional.cross_entropy(torch.cat(logits), torch.cat(targets))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def _work(job: dict[str, Any], base: str, run: str) -> None:
    from trainwright.training.worker import WorkOrder, work

    work(WorkOrder(job=job, base=base, run_url=run), None)


@pytest.mark.parametrize(
    ("stage", "checkpoint_activations", "micro_batch_size"), [(1, False, None), (0, True, 5)]
)
def test_the_mean_is_over_the_tokens_of_all_workers_and_micro_batches(
    two_workers: Any,
    folder: Path,
    stage: int,
    checkpoint_activations: bool,
    micro_batch_size: int | None,
) -> None:
    values = {
        **LM,
        "cluster": {"workers": 2},
        "deepspeed": {"zero_optimization": {"stage": stage}},
        "model": {**LM["model"], "checkpoint_activations": checkpoint_activations},
        "training": {**LM["training"], "micro_batch_size": micro_batch_size},
    }
    assert_as_by_hand(two_workers, folder, values)


def test_tied_weights_and_kept_inputs_at_stage_3(two_workers: Any, folder: Path) -> None:
    values = {
        **LM,
        "cluster": {"workers": 2},
        "deepspeed": {"zero_optimization": {"stage": 3}},
        "model": {**LM["model"], "checkpoint_activations": True},
        "training": {**LM["training"], "micro_batch_size": 5},
    }
    assert_as_by_hand(two_workers, folder, values)


def assert_as_by_hand(workers: Any, folder: Path, values: dict[str, Any]) -> None:
    job = Job.load(write_job(folder, values))
    run = folder / "runs" / "run"
    run.mkdir(parents=True)
    workers.run(_work, job.spec.model_dump(mode="json", by_alias=True), str(folder), str(run))
    story = Story.of(run)
    lengths = [len(row) - 1 for row in ragged(60)]
    shares = [sum(lengths[i] for i in ids[:12]) for ids in story.samples.values()]
    others = [sum(lengths[i] for i in ids[12:]) for ids in story.samples.values()]
    assert shares != others, "the workers have equally many tokens, so nothing is shown"
    losses = story.curve("train/loss")
    assert losses == pytest.approx(by_hand(folder, story.samples), rel=1e-5)
    assert max(losses) - min(losses) > 0.1, "the weights did not move, so nothing is shown"
