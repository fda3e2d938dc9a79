"""A loss over whole groups: whole runs against a loop in plain PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from driving import write_job
from stories import Story
from torch import Tensor, nn

from trainwright.data.random import bits, key
from trainwright.errors import InputError
from trainwright.job import Job
from trainwright.orchestration.prepare import prepare

PLUGINS = Path(__file__).parent / "plugins" / "grouping.py"
SIZES = [3, 1, 4, 2, 5, 3, 2, 4, 1, 3, 5, 2, 4, 3, 2]
SAMPLES, BATCH, STEPS, RATE, SEED = sum(SIZES), 11, 8, 0.2, 3
PER_EPOCH = 4


def _table() -> tuple[Tensor, Tensor, Tensor]:
    """Features, relevance and query of each row; the rows of a query lie apart."""
    generator = torch.Generator().manual_seed(0)
    query = torch.repeat_interleave(torch.arange(len(SIZES)), torch.tensor(SIZES))
    query = query[torch.randperm(SAMPLES, generator=generator)]
    x = torch.randn(SAMPLES, 4, generator=generator)
    return x, (x[:, 0] + x[:, 1] * x[:, 2] > 0).long(), query


def _job(folder: Path, **changes: Any) -> Job:
    import pyarrow as pa
    import pyarrow.parquet as pq

    x, target, query = _table()
    columns = {f"x{i}": x[:, i].numpy() for i in range(4)}
    folder.mkdir(parents=True, exist_ok=True)
    named = {**columns, "target": target.numpy(), "query": query.numpy()}
    pq.write_table(pa.table(named), folder / "data.parquet")
    (folder / "grouping.py").write_bytes(PLUGINS.read_bytes())
    values = {
        "name": "grouped",
        "seed": SEED,
        "data.source": "data.parquet",
        "data.columns": {
            "x": {"type": "vector", "from": list(columns)},
            "target": {"type": "class", "classes": 2},
            "query": {"type": "class", "classes": len(SIZES)},
        },
        "data.batch_size": BATCH,
        "model": {"name": "mlp", "hidden": [5], "inputs": {"x": "x"}},
        "objective": "grouping.py:PairwiseRanking",
        "optimizer": {"name": "sgd", "lr": RATE},
        "training.steps": STEPS,
        "training.record_samples": True,
        "tracking.enabled": False,
        "cluster.workers": 0,
        **changes,
    }
    return Job.load(write_job(folder, values))


def _work(job: dict[str, Any], base: str, run: str) -> None:
    from trainwright.training.worker import WorkOrder, work

    work(WorkOrder(job=job, base=base, run_url=run), None)


def _updates() -> list[list[int]]:
    """Rows of each update: groups in hashed order, cut at the nearest end of a group."""
    _, _, query = _table()
    updates = []
    for epoch in range(2):
        ids = torch.arange(len(SIZES))
        ranks = bits(key(SEED, "order", epoch), ids)
        groups = [int(g) for g in torch.argsort(ranks)]
        rows = [(query == g).nonzero().flatten().tolist() for g in groups]
        ends = [sum(len(r) for r in rows[: k + 1]) for k in range(len(rows))]
        cuts = [
            min(ends, key=lambda end, goal=k * BATCH: (abs(end - goal), end)) for k in (1, 2, 3)
        ]
        flat = [row for group in rows for row in group]
        updates += [flat[a:b] for a, b in zip([0, *cuts], [*cuts, SAMPLES], strict=True)]
    return updates


def _reference() -> list[float]:
    """One query after the other, pair by pair."""
    from trainwright.models.mlp import MLP
    from trainwright.training.randomness import seed_all

    seed_all(SEED, "init")
    model = MLP(4, 2, hidden=[5])
    steps = torch.optim.SGD(model.parameters(), lr=RATE)
    x, target, query = _table()
    losses = []
    for rows in _updates():
        out = model(x[rows])["logits"]
        scores = out[:, 1] - out[:, 0]
        members: dict[int, list[int]] = {}
        for place, row in enumerate(rows):
            members.setdefault(int(query[row]), []).append(place)
        loss = torch.zeros(())
        for places in members.values():
            for i in places:
                for j in places:
                    if target[rows[i]] == 1 and target[rows[j]] == 0:
                        loss = loss + nn.functional.softplus(scores[j] - scores[i]) / len(places)
        loss = loss / len(members)
        steps.zero_grad()
        loss.backward()
        steps.step()
        losses.append(loss.item())
    return losses


CASES = [
    ("in process", 0, None),
    ("in process", 0, 5),
    ("one_worker", 1, 6),
    ("two_workers", 0, None),
    ("two_workers", 2, 5),
    ("two_workers", 3, None),
]


@pytest.mark.parametrize(("world", "stage", "micro"), CASES)
def test_groups_are_trained_on_whole(
    request: pytest.FixtureRequest, tmp_path: Path, world: str, stage: int, micro: int | None
) -> None:
    changes: dict[str, Any] = {"training.micro_batch_size": micro}
    if world != "in process":
        changes["cluster.workers"] = 2 if world == "two_workers" else 1
        changes["engine"] = "deepspeed"
        changes["deepspeed"] = {"zero_optimization": {"stage": stage}}
    job = _job(tmp_path, **changes)
    run = tmp_path / "run"
    run.mkdir()
    arguments = (job.spec.model_dump(mode="json", by_alias=True), str(tmp_path), str(run))
    if world == "in process":
        _work(*arguments)
    else:
        request.getfixturevalue(world).run(_work, *arguments)
    story = Story.of(run)
    assert story.samples == {k + 1: rows for k, rows in enumerate(_updates())}
    assert story.curve("train/loss") == pytest.approx(_reference(), abs=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training.micro_batch_size": 4}, "the largest has 5 samples"),
        (
            {"objective": {"name": "grouping.py:PairwiseRanking", "bind": {"query": "quary"}}},
            "keeps the groups of column 'quary' whole",
        ),
        ({"objective": "grouping.py:OnTheInstance"}, "set `couples` and `group` on its class"),
        (
            {"data.batch_size": 16, "cluster.workers": 16, "engine": "deepspeed"},
            "15 groups cannot be shared by 16 workers",
        ),
    ],
    ids=["micro-batch", "column", "instance", "workers"],
)
def test_what_would_cut_groups_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError) as caught:
        prepare(_job(tmp_path, **{"cluster.cpus_per_worker": 0.01, **changes}))
    assert message in str(caught.value)
