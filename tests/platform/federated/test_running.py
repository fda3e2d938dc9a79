"""Federations from a job file to the end, in this process, and what can be done with their runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from federations import values_of
from safetensors.torch import load_file
from stories import Story, record_of, the_run, weights_of
from torch import nn

import trainwright
from trainwright.errors import RunError
from trainwright.federated.server.rounds import Server
from trainwright.plugins.catalogue import listing

Make = Callable[..., dict[str, Any]]
NORM = {"name": "mlp", "hidden": [8], "batch_norm": True}
SPECIAL: dict[str, dict[str, Any]] = {
    "fedbn": {"model": NORM},
    "krum": {"federation__aggregator": {"name": "krum", "num_byzantine": 1}},
    "trimmed_mean": {"federation__aggregator": {"name": "trimmed_mean", "share": 0.2}},
}
"""What an aggregator needs of its job."""


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A small federation in a folder of its own; sections as :func:`values_of` takes them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return values_of


@pytest.mark.parametrize("aggregator", [entry.name for entry in listing("aggregators")])
def test_every_aggregator_trains(job: Make, aggregator: str) -> None:
    sections = {"federation__aggregator": aggregator, "metrics": ["accuracy"]}
    result = trainwright.run(job(**{**sections, **SPECIAL.get(aggregator, {})}))
    assert (result.status, result.steps) == ("finished", 2)
    assert result.metrics["validation/loss"] < 2.5
    story = Story.of(Path(result.storage))
    assert len(story.curve("train/loss")) == len(story.curve("validation/accuracy")) == 2
    assert story.curve("federation/clients") == [7.0, 7.0]
    assert all(np.isfinite(value) for value in story.metrics.values())


class TestNames:
    def test_what_decides_the_numbers_is_in_the_name(self, job: Make) -> None:
        def name(**sections: Any) -> str:
            return trainwright.validate(job(**sections)).run

        plain = name()
        assert plain == name(federation__checkpoint_every=3) == name(storage="other")
        assert plain == name(federation__keep={"last": 5}, cluster={"workers": 2})
        assert plain == name(federation__aggregator={"name": "fedavg", "server_lr": 1.0})
        others = [
            name(**{path: value})
            for path, value in {
                "seed": 1,
                "federation__rounds": 3,
                "federation__cohort": 3,
                "federation__bins": 2,
                "federation__aggregator": {"name": "fedavg", "server_lr": 0.5},
                "federation__partition": {"name": "iid"},
                "federation__sampling": {"dropout": 0.1},
                "federation__update_transforms": ["sign"],
                "federation__execution": "sequential",
                "training": {"epochs": 2},
                "optimizer": {"name": "sgd", "lr": 0.2},
                "data__batch_size": 17,
            }.items()
        ]
        assert len({plain, *others}) == 13

    def test_a_finished_one_is_not_run_again(self, job: Make) -> None:
        first = trainwright.run(job())
        again = trainwright.run(job())
        assert again.already_finished
        assert again.metrics == first.metrics
        fresh = trainwright.run(job(), fresh=True)
        assert fresh.run == f"{first.run}.2"
        assert fresh.metrics == first.metrics


class TestRecords:
    def test_what_is_sent_is_counted(self, job: Make) -> None:
        def run(**sections: Any) -> Story:
            return Story.of(Path(trainwright.run(job(**sections)).storage))

        size = 64 * 8 + 8 + 8 * 10 + 10
        plain = run()
        assert plain.curve("federation/megabytes_up") == pytest.approx(
            [7 * 4 * size / 1e6, 14 * 4 * size / 1e6]
        )
        assert plain.curve("federation/megabytes_down") == plain.curve("federation/megabytes_up")
        few = run(federation__update_transforms=[{"name": "top_k", "fraction": 0.1}])
        assert few.curve("federation/megabytes_up")[-1] < 0.3 * 14 * 4 * size / 1e6
        assert few.curve("federation/megabytes_down") == plain.curve("federation/megabytes_down")

    def test_clients_that_are_missing_are_counted(self, job: Make) -> None:
        sampling = {"dropout": 0.5, "min_clients": 4}
        result = trainwright.run(job(federation__sampling=sampling, federation__rounds=8))
        story = Story.of(Path(result.storage))
        clients, missing = (
            story.curve("federation/clients"),
            story.curve("federation/missing_clients"),
        )
        assert sum(clients) + missing[-1] == 8 * 7
        empty = sum(number < 4 for number in clients)
        assert 0 < empty < 8
        assert story.curve("federation/empty_rounds")[-1] == empty
        losses = story.curve("validation/loss")
        for round in range(1, 8):
            assert (losses[round] == losses[round - 1]) == (clients[round] < 4)

    def test_at_clients(self, job: Make) -> None:
        evaluation = {"held_out": 0.3, "personalise": {"epochs": 3}, "every": 1}
        result = trainwright.run(
            job(federation__client_evaluation=evaluation, metrics=["accuracy"])
        )
        found, folder = result.metrics, Path(result.storage)
        table = pq.read_table(folder / "client_metrics" / "round-00000002.parquet").to_pandas()
        assert table["client"].tolist() == list(range(7))
        assert found["client/loss/mean"] == pytest.approx(table["client/loss"].mean())
        assert found["client/loss/worst"] == table["client/loss"].max()
        assert found["client/accuracy/worst"] == table["client/accuracy"].min()
        assert found["client/accuracy/std"] == pytest.approx(table["client/accuracy"].std(ddof=0))
        assert (table["personalised/loss"] != table["client/loss"]).all()
        assert len(Story.of(folder).curve("client/loss/mean")) == 2

    def test_the_decomposition_sums_to_the_global_loss(self, job: Make) -> None:
        result = trainwright.run(job(federation__decomposition=True))
        story = Story.of(Path(result.storage))
        names = ("local_loss", "distribution_shift", "aggregation")
        curves = [story.curve(f"decomposition/{name}") for name in names]
        for step, whole in enumerate(story.curve("validation/loss")):
            assert sum(curve[step] for curve in curves) == pytest.approx(whole, abs=1e-5)


WILD = {"optimizer": {"name": "sgd", "lr": 1e20}, "federation__execution": "sequential"}


class TestBroken:
    @pytest.mark.parametrize("execution", ["sequential", "batched"])
    def test_dropped_and_counted(self, job: Make, execution: str) -> None:
        result = trainwright.run(job(**{**WILD, "federation__execution": execution}))
        story = Story.of(Path(result.storage))
        dropped, clients = (story.curve(f"federation/{n}") for n in ("dropped_updates", "clients"))
        assert dropped[-1] + sum(clients) == 14
        assert dropped[-1] > 0
        assert any("not finite, of clients" in event for event in story.events)

    def test_or_the_end(self, job: Make) -> None:
        values = job(**WILD, federation__on_non_finite="stop")
        with pytest.raises(RunError, match=r"round 1: updates that are not finite, of clients 0"):
            trainwright.run(values)
        assert record_of(the_run(Path("runs"))).status == "failed"

    def test_a_plugin_that_fails_is_told(self, job: Make, tmp_path: Path) -> None:
        (tmp_path / "bad.py").write_text(
            "from trainwright.federated import Aggregator\n\n\n"
            "class Bad(Aggregator):\n"
            "    def server(self, weights, reduced, state):\n"
            "        raise KeyError('lost')\n"
        )
        with pytest.raises(RunError, match="the federation failed: KeyError: 'lost'") as caught:
            trainwright.run(job(federation__aggregator="bad.py:Bad"))
        assert "bad.py" in str(caught.value)


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage with a finished run."""
    storage = tmp_path_factory.mktemp("afterwards") / "runs"
    trainwright.run(values_of(storage=str(storage), metrics=["accuracy"]))
    return storage


class TestAfterwards:
    def test_evaluated(self, storage: Path) -> None:
        run = the_run(storage)
        found = trainwright.evaluate(run.name, storage=storage)
        assert found.metrics["validation/loss"] == pytest.approx(
            record_of(run).metrics["validation/loss"], rel=1e-6
        )

    def test_exported(self, storage: Path, tmp_path: Path) -> None:
        run = the_run(storage)
        trainwright.export(run.name, storage=storage, to=tmp_path / "export")
        weights, last = load_file(tmp_path / "export" / "model.safetensors"), weights_of(run)
        assert weights.keys() == last.keys()
        assert all(weights[name].equal(last[name]) for name in weights)

    def test_predicted(self, storage: Path, tmp_path: Path) -> None:
        run = the_run(storage)
        images = np.random.default_rng(0).random((5, 64), dtype=np.float32)
        pq.write_table(pa.table({"image": list(images)}), tmp_path / "new.parquet")
        out = tmp_path / "out.parquet"
        trainwright.predict(run.name, data=tmp_path / "new.parquet", out=out, storage=storage)
        layers = nn.Sequential(nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 10))
        weights = weights_of(run)
        names = ("body.0.weight", "body.0.bias", "head.weight", "head.bias")
        values = [weights[name] for name in names]
        layers.load_state_dict(dict(zip(layers.state_dict(), values, strict=True)))
        logits = torch.tensor(pq.read_table(out)["logits"].to_pylist())
        torch.testing.assert_close(logits, layers(torch.from_numpy(images)).detach())

    def test_input_of_a_procedure(
        self, storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "looks.py").write_text(
            "from trainwright import Procedure\n\n\n"
            "class Looks(Procedure):\n"
            "    def run(self, context):\n"
            "        return {'loss': context.run('model').evaluate('validation')['loss']}\n"
        )
        run = the_run(storage)
        found = trainwright.run(
            {
                "kind": "procedure",
                "name": "looks",
                "procedure": "looks.py:Looks",
                "runs": {"model": run.name},
                "storage": str(storage),
                "tracking": {"enabled": False},
            }
        )
        assert found.metrics["loss"] == pytest.approx(
            record_of(run).metrics["validation/loss"], rel=1e-6
        )


@pytest.mark.slow
def test_compared_with_another_aggregator(job: Make) -> None:
    """And with a placebo, where the method is taken out: then what is expected does not hold."""
    base = job()
    for section in ("name", "tracking"):
        del base[section]
    comparison = {
        "kind": "compare",
        "name": "compared",
        "base": base,
        "variants": {
            "baseline": {},
            "method": {"federation.aggregator": {"name": "fedavg", "server_lr": 0.1}},
        },
        "seeds": 2,
        "expect": ["mean(train/loss, method) > mean(train/loss, baseline)"],
        "tracking": {"enabled": False},
    }
    assert trainwright.run(comparison).status == "finished"
    assert trainwright.run(comparison, placebo=True).status == "finished"


def test_no_server_changes_what_it_was_given(monkeypatch: pytest.MonkeyPatch, job: Make) -> None:
    """Weights of the server are its own: measuring at clients leaves them alone."""
    seen: list[bool] = []
    original = Server._sent

    def watched(self: Server, round: int, asked: Any = ()) -> Any:
        seen.append(bool(self._weights.isfinite().all()))
        assert self._weights.data_ptr() != self.parts.vectors.weights.data_ptr()
        return original(self, round, asked)

    monkeypatch.setattr(Server, "_sent", watched)
    trainwright.run(job(federation__client_evaluation={"every": 1}))
    assert len(seen) >= 4
