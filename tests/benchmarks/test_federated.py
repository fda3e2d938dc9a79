"""The federated benchmark: the same work on all sides, and a short form of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from common.peers import PEERS
from federated import costs, measure
from federated.bare import loop_of
from federated.paced import Paced, serve
from federated.work import BATCH, LEARNING_RATE, LocalTraining, Work
from torch import nn


def made_work() -> Work:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(30, 64, generator=generator)
    y = torch.randint(10, (30,), generator=generator)
    weights = 0.1 * torch.randn(64 * 64 + 64 + 640 + 10, generator=generator)
    return Work(x, y, [torch.arange(7), torch.arange(7, 30)], weights)


class Line:
    """Tells a side to do some turns, and keeps what it answers."""

    def __init__(self, turns: int) -> None:
        self.orders = ["turn"] * turns + ["end"]
        self.answers: list[Any] = []

    def recv(self) -> str:
        return self.orders.pop(0)

    def send(self, answer: Any) -> None:
        self.answers.append(answer)


def test_work_is_read_as_it_was_written(tmp_path: Path) -> None:
    work = made_work()
    work.save(tmp_path / "work.npz")
    found = Work.load(tmp_path / "work.npz")
    assert found.x.equal(work.x)
    assert found.y.equal(work.y)
    assert found.weights.equal(work.weights)
    assert [rows.tolist() for rows in found.clients] == [rows.tolist() for rows in work.clients]


@pytest.mark.parametrize("way", measure.LOOPS.values())
def test_a_bare_round_is_federated_averaging(way: str) -> None:
    work = made_work()
    bare = loop_of(work, way)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    torch.manual_seed(3)
    bare.round()
    torch.manual_seed(3)
    expected = torch.zeros_like(work.weights, dtype=torch.float64)
    for rows in work.clients:
        nn.utils.vector_to_parameters(work.weights.clone(), model.parameters())
        optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE)
        for batch in rows[torch.randperm(len(rows))].split(BATCH):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(work.x[batch]), work.y[batch]).backward()
            optimizer.step()
        vector = nn.utils.parameters_to_vector(model.parameters()).detach()
        expected += vector * len(rows) / 30
    torch.testing.assert_close(bare.weights.double(), expected, rtol=0, atol=1e-6)
    assert (bare.weights - work.weights).abs().max() > 1e-3


def test_accuracy() -> None:
    work = made_work()
    model = LocalTraining(work).model
    nn.utils.vector_to_parameters(work.weights.clone(), model.parameters())
    right = model(work.x).argmax(dim=1) == work.y
    assert work.accuracy(work.weights) == pytest.approx(float(right.double().mean()))


def test_our_side_does_the_work_in_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its start is that of the others, and its model is as good as theirs."""
    monkeypatch.setattr(Paced, "is_over", False)
    job = measure.job_of((0, "sequential"), 2, 3, str(tmp_path / "runs"), clients=20)
    work = measure.work_of(job)
    assert sorted(torch.cat(work.clients).tolist()) == list(range(1797))
    (tmp_path / "job.json").write_text(json.dumps(job))
    line = Line(turns=2)
    serve(line, 5, tmp_path / "job.json")
    begun, *turns, kept = line.answers
    assert begun is None
    assert [wall > 0 for wall, _ in turns] == [True, True]
    bare = loop_of(work, "tuned")
    for _ in range(5):
        bare.round()
    ours, theirs = work.accuracy(torch.from_numpy(kept)), work.accuracy(bare.weights)
    assert ours == pytest.approx(theirs, abs=0.05)
    assert ours > work.accuracy(work.weights) + 0.2
    far = np.linalg.norm(kept - work.weights.numpy())
    assert np.linalg.norm(kept - bare.weights.numpy()) < 0.2 * far


@pytest.mark.slow
def test_a_short_form() -> None:
    peer = PEERS["flower"]
    flower = peer.python if peer.is_installed else None
    result = measure.compare(turns=2, clients=10, flower=flower)
    rows = {row.name: row for row in result.rows}
    assert rows.keys() >= {*measure.LOOPS, *measure.OURS}
    assert (measure.FLOWER in rows) == (flower is not None)
    for row in result.rows:
        assert 0 < row.round.median < row.start_s
        assert row.accuracy == pytest.approx(rows[measure.BARE].accuracy, abs=0.1)
    assert rows[measure.BARE].bare.median == 1
    [cost] = costs.costs(1, ((1000, 4),))
    assert min(side.median for side in cost.rounds.values()) > 0
