"""What a federation is in the limit: of one client, of one step, of very many clients."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from federations import values_of
from stories import Story, weights_of

import trainwright

Make = Callable[..., dict[str, Any]]


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A small federation in a folder of its own; sections as :func:`values_of` takes them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return values_of


class TestCentralised:
    """What a federation is in the limit of one client, or of one step."""

    @pytest.mark.parametrize(
        "federation",
        [
            {"federation__clients": 1, "federation__partition": "iid"},
            {"federation__execution": "sequential", "federation__bins": 3},
            {"federation__execution": "batched", "federation__bins": 3},
        ],
        ids=str,
    )
    def test_one_step_on_all_samples_of_all_is_gradient_descent(
        self, job: Make, federation: dict[str, Any]
    ) -> None:
        """One client, or all of them with whole batches: the same as a job of kind train."""
        common = {"data__batch_size": 1000, "optimizer": {"name": "sgd", "lr": 0.5}}
        steps = {"training": {"steps": 1}, "federation__rounds": 4}
        found = trainwright.run(job(**common, **steps, **federation))
        train = job(**common, training={"epochs": 4}, kind="train", engine="local")
        del train["federation"]
        expected = trainwright.run({**train, "cluster": {"workers": 0}})
        mine, theirs = (weights_of(Path(run.storage)) for run in (found, expected))
        assert mine.keys() == theirs.keys()
        for name, weights in mine.items():
            torch.testing.assert_close(weights, theirs[name], rtol=1e-5, atol=1e-6)
        mine, theirs = (Story.of(Path(run.storage)) for run in (found, expected))
        losses = theirs.curve("train/loss")
        assert len(losses) == 4
        assert mine.curve("train/loss") == pytest.approx(losses, rel=1e-5)
        assert mine.curve("validation/loss")[-1] == pytest.approx(
            theirs.curve("validation/loss")[-1], rel=1e-5
        )

    def test_rounds_follow_the_schedule(self, job: Make) -> None:
        result = trainwright.run(job(schedule="linear", federation__rounds=4))
        rates = Story.of(Path(result.storage)).curve("train/lr")
        assert rates == sorted(rates, reverse=True)
        assert rates[0] <= 0.1
        assert len(set(rates)) == 4


@pytest.mark.slow
def test_a_million_clients_are_as_cheap_as_a_thousand(job: Make) -> None:
    """What a round takes does not depend on who is not there."""

    def peak(clients: int) -> int:
        tracemalloc.start()
        try:
            result = trainwright.run(
                job(
                    federation__clients=clients,
                    federation__cohort=10,
                    federation__partition={"name": "drawn", "samples_per_client": 20},
                    federation__aggregator="scaffold",
                )
            )
            assert result.status == "finished"
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1000)  # with what is imported on the way
    few, many = peak(2000), peak(10**6)
    assert many < few + (4 << 20)
