"""What each worker does in test_sharing.py: a module of its own, so that spawn can import it."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import torch.distributed as dist

from trainwright.metrics import build_metric

CLASSES = 4
CASES = {
    "accuracy": "class",
    "f1": "class",
    "auroc": "class",
    "calibration_error": "class",
    "average_precision": "class",
    "mae": "value",
    "rmse": "value",
    "r2": "value",
    "pearson_corr_coef": "value",
    "spearman_corr_coef": "value",
    "perplexity": "tokens",
    "retrieval_map": "retrieval",
}


def make_data(kind: str, count: int = 63) -> tuple[dict, dict]:
    random = torch.Generator().manual_seed(11)
    if kind == "class":
        logits = torch.randn(count, CLASSES, generator=random)
        return {"logits": logits}, {"target": torch.randint(CLASSES, (count,), generator=random)}
    if kind == "tokens":
        logits = torch.randn(count, 5, CLASSES, generator=random)
        return {"logits": logits}, {"target": torch.randint(CLASSES, (count, 5), generator=random)}
    values = torch.randn(count, 1, generator=random)
    if kind == "retrieval":
        groups = torch.arange(count) % 7
        hits = torch.randint(2, (count,), generator=random)
        return {"logits": values.squeeze(1).sigmoid()}, {"target": hits, "indexes": groups}
    return {"logits": values}, {"target": values[:, 0] + torch.randn(count, generator=random)}


def value_of(name: str, parts: list[tuple[int, int]]) -> dict[str, float]:
    """The metric over these row ranges, one update each."""
    kind = CASES[name]
    facts = {"num_classes": CLASSES} if kind == "class" else {}
    metric = build_metric(name, {}, facts=facts, bind={})
    outputs, batch = make_data(kind)
    for start, stop in parts:
        metric.update(
            {key: value[start:stop] for key, value in outputs.items()},
            {key: value[start:stop] for key, value in batch.items()},
        )
    return metric.compute()


def run(rank: int, shares: list[list[list[tuple[int, int]]]], init: str, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=init, rank=rank, world_size=2)
    found = [{name: value_of(name, share[rank]) for name in CASES} for share in shares]
    Path(folder, f"rank{rank}.json").write_text(json.dumps(found))
    dist.destroy_process_group()
