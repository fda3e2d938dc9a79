"""The benchmark of the local engine: the same work on all sides, and a short form of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from benchmark_records import made_ratio
from common.models import MODELS, job_of
from common.peak import Growth
from common.peers import PEERS
from common.turns import Worker
from local import benchmark, measure
from local.bare import Bare
from local.work import Work, loss_of

from trainwright.data.loading import load_splits
from trainwright.strategy import Context
from trainwright.training.assembly import assemble


@pytest.mark.parametrize("name", MODELS)
def test_plain_models_compute_what_those_of_the_jobs_do(name: str, tmp_path: Path) -> None:
    job = job_of(name, 4, 3, 1, 0)
    measure.work_of(job, name).save(tmp_path / "work.pt")
    work = Work.load(tmp_path / "work.pt")
    splits = load_splits(job.data, base=tmp_path, workers=1, seed=job.seed)
    context = Context(seed=job.seed, rank=0, world_size=1, device=torch.device("cpu"))
    ours = assemble(job, tmp_path, splits, context).module.model.model
    [x, y], *others = work.loader()
    assert len(others) == 2
    assert x.equal(work.x[work.rows[0]])
    logits = ours(x)["logits"]
    torch.testing.assert_close(work.untrained()(x), logits, rtol=0, atol=1e-6)
    torch.testing.assert_close(loss_of(logits, y), MODELS[name].loss(logits, y))


def test_our_losses_are_those_of_the_bare_loop(tmp_path: Path) -> None:
    job = job_of("mlp", 8, 6, 2, 0)
    work = measure.work_of(job, "mlp")
    bare, ours = Bare(work, block=2), Worker(job, tmp_path / "run")
    for _ in range(3):
        ours.turn()
        bare.turn()
    ours.close()
    losses = {"ours": ours.losses(), "bare loop": [float(loss) for loss in bare.losses]}
    assert len(losses["ours"]) == 6
    assert measure.worst_difference(losses) <= measure.TOLERANCE
    losses["bare loop"][4] += 0.5
    assert measure.worst_difference(losses) == pytest.approx(0.5, abs=1e-5)
    with pytest.raises(AssertionError, match="updates"):
        measure.worst_difference({**losses, "other": [1.0]})


def test_growth_is_what_was_taken_at_most() -> None:
    growth = Growth()
    taken = torch.ones(8 * 2**20)
    del taken
    assert 30 * 2**20 < growth.bytes() < 60 * 2**20


def made_result(**changed: Any) -> dict[str, Any]:
    seconds = {"median": 0.02, "low": 0.01, "high": 0.03}
    own = {"name": "ours", "wall": None, "cpu": None, "goal": None}
    bare = {"name": "bare loop", "wall": made_ratio(1.01, 1.0, 1.015), "goal": 1.02}
    bare["cpu"] = made_ratio(1.02, 1.01, 1.03)
    rows = [{**row, "update": seconds, "grown_bytes": 3 * 2**20} for row in (own, bare)]
    result = {"model": "gpt", "batch_size": 16, "rows": rows, "missing": []}
    return {**result, "worst_loss_difference": 2e-7, **changed}


def test_lines_of_the_table() -> None:
    lines = benchmark.tables([made_result(missing=["Lightning"])])
    assert "| gpt | ours | 800 | 20.00 (10.00 to 30.00) | 3.0 | - | - | - | - |" in lines
    assert (
        "| gpt | bare loop | 800 | 20.00 (10.00 to 30.00) | 3.0 | 1.010 [1.000, 1.015] "
        "| 1.020 [1.010, 1.030] | 1.02 | met |"
    ) in lines
    assert lines[-1] == "Not installed and left out: Lightning."
    assert "20 turns of each side. Losses agree to 2.0e-07" in lines[0]
    [(label, wall, goal)] = benchmark.ratios([made_result()])
    assert (label, wall["median"], goal) == ("local gpt / bare loop", 1.01, 1.02)


@pytest.mark.slow
def test_a_short_form() -> None:
    peers = {
        peer: PEERS[name].python if PEERS[name].is_installed else None
        for peer, name in measure.PEERS.items()
    }
    result = measure.compare("mlp", 2, 2, peers)
    names = [row.name for row in result.rows]
    assert names == ["ours", "bare loop", *(p for p, python in peers.items() if python)]
    assert result.missing == [peer for peer, python in peers.items() if python is None]
    assert all(row.grown_bytes > 2**20 for row in result.rows)
    assert all(
        row.wall is not None and (row.wall.pairs, row.wall.groups) == (4, 2)
        for row in result.rows[1:]
    )
