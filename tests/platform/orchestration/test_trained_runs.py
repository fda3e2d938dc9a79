"""Trained runs: exported, evaluated and used for predictions, against plain PyTorch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import averaging
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from stories import record_of, runs_in
from torch import Tensor, nn
from torch.nn import functional

import trainwright
from trainwright.checkpoint import CheckpointStore
from trainwright.cli.main import main
from trainwright.errors import InputError, RunError
from trainwright.models.mlp import MLP
from trainwright.storage import Folder

LABELS = ["amber", "blue", "coral"]


def _samples(seed: int, number: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(0, 3, (number,), generator=generator)
    return torch.randn(number, 4, generator=generator) + 2 * target[:, None] - 2, target


def _write(file: Path, seed: int, number: int, *, target: bool = True, width: int = 4) -> None:
    x, classes = _samples(seed, number)
    columns: dict[str, Any] = {f"f{i}": x[:, i].numpy() for i in range(width)}
    if target:
        columns["colour"] = [LABELS[index] for index in classes.tolist()]
    pq.write_table(pa.table(columns), file)


def _job(folder: Path, **changes: Any) -> dict[str, Any]:
    return {
        "name": "trained",
        "data": {
            "source": "./train.parquet",
            "columns": {
                "features": {"type": "vector", "from": ["f0", "f1", "f2", "f3"]},
                "target": {"type": "class", "from": "colour", "classes": LABELS},
            },
            "validation": {"source": "./validation.parquet"},
            "transforms": [{"name": "standardize", "columns": ["features"]}],
            "batch_size": 16,
        },
        "model": {"name": "mlp", "hidden": [8], "batch_norm": True},
        "objective": "cross_entropy",
        "strategies": [
            {"name": "averaging.py:TestTimeAverage"},
            {"name": "averaging.py:Recalibration"},
        ],
        "optimizer": {"name": "sgd", "lr": 0.1},
        "training": {"epochs": 2},
        "metrics": ["accuracy"],
        "cluster": {"workers": 0},
        "storage": str(folder / "runs"),
        "tracking": {"enabled": False},
        **changes,
    }


class Trained:
    """One run, and its model as plain PyTorch from the checkpoint's tensors."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "averaging.py").write_bytes(Path(averaging.__file__).read_bytes())
        for name, seed, number in (("train", 1, 100), ("validation", 2, 50), ("unseen", 3, 40)):
            _write(folder / f"{name}.parquet", seed, number)
        _write(folder / "bare.parquet", 3, 40, target=False)
        _write(folder / "narrow.parquet", 3, 40, width=3)
        job = trainwright.Job.from_dict(_job(folder), base=folder)
        self.result = trainwright.run(job)
        (self.run,) = runs_in(folder / "runs")
        self.storage = folder / "runs"
        checkpoint = CheckpointStore(Folder(str(self.run))).latest()
        assert checkpoint is not None
        self.model = MLP(4, 3, [8], batch_norm=True).eval()
        state = self.model.state_dict()
        for kind in ("param", "buffer"):
            for name in checkpoint.names(kind):
                state[name.removeprefix("model.")].copy_(checkpoint.full(kind, name))
        x, _ = _samples(1, 100)
        self.mean, self.deviation = x.mean(dim=0), x.std(dim=0, correction=0)

    def inputs(self, seed: int, number: int) -> Tensor:
        return (_samples(seed, number)[0] - self.mean) / self.deviation

    @torch.no_grad()
    def logits(self, x: Tensor) -> Tensor:
        views = [self.model(x * scale)["logits"] for scale in averaging.VIEWS]
        return torch.stack(views).mean(dim=0)

    def expected(self, seed: int, number: int) -> dict[str, float]:
        x, target = self.inputs(seed, number), _samples(seed, number)[1]
        logits = self.logits(x)
        best = logits.argmax(dim=1)
        return {
            "loss": float(functional.cross_entropy(logits, target)),
            "accuracy": float((best == target).double().mean()),
            "agreement": float(
                (self.logits(x * averaging.PROBE).argmax(dim=1) == best).double().mean()
            ),
        }


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return Trained(tmp_path_factory.mktemp("trained"))


def _named(values: dict[str, float], split: str) -> dict[str, Any]:
    return {f"{split}/{name}": pytest.approx(value, abs=1e-5) for name, value in values.items()}


def test_training_evaluates_through_the_hooks(trained: Trained) -> None:
    expected = _named(trained.expected(2, 50), "validation")
    assert {name: trained.result.metrics[name] for name in expected} == expected


def test_evaluating_the_run_again_gives_what_training_gave(trained: Trained) -> None:
    done = trainwright.evaluate("trained", storage=trained.storage)
    assert done.num_samples == {"validation": 50}
    assert done.metrics == _named(trained.expected(2, 50), "validation")
    assert done.step == record_of(trained.run).steps


def test_evaluating_other_samples(trained: Trained) -> None:
    """The training data need not be there; transforms are those that were fitted on it."""
    hidden = trained.folder / "train.parquet"
    content = hidden.read_bytes()
    hidden.unlink()
    try:
        unseen = trained.folder / "unseen.parquet"
        done = trainwright.evaluate("trained", storage=trained.storage, data=unseen)
    finally:
        hidden.write_bytes(content)
    assert done.num_samples == {"data": 40}
    assert done.metrics == _named(trained.expected(3, 40), "data")


def test_changed_data_is_not_evaluated_as_if_it_were_the_old(trained: Trained) -> None:
    held = trained.folder / "validation.parquet"
    content = held.read_bytes()
    _write(held, 9, 50)
    try:
        with pytest.raises(RunError, match="not what the run was trained on"):
            trainwright.evaluate("trained", storage=trained.storage)
    finally:
        held.write_bytes(content)


@pytest.mark.parametrize("file", ["unseen.parquet", "bare.parquet"])
def test_predictions(trained: Trained, tmp_path: Path, file: str) -> None:
    """With targets in the file and without."""
    out = tmp_path / "predictions.parquet"
    done = trainwright.predict(
        "trained", storage=trained.storage, data=trained.folder / file, out=out
    )
    assert (done.num_samples, done.columns) == (40, ["sample_id", "logits", "prediction"])
    rows = pq.read_table(out).to_pydict()
    logits = trained.logits(trained.inputs(3, 40))
    assert rows["sample_id"] == list(range(40))
    torch.testing.assert_close(torch.tensor(rows["logits"]), logits, atol=1e-5, rtol=0)
    assert rows["prediction"] == [LABELS[index] for index in logits.argmax(dim=1).tolist()]


def test_a_file_without_the_columns_is_refused(trained: Trained, tmp_path: Path) -> None:
    narrow = trained.folder / "narrow.parquet"
    with pytest.raises(InputError, match=r"no column 'f3' in .*narrow.parquet"):
        trainwright.evaluate("trained", storage=trained.storage, data=narrow)
    out = tmp_path / "out.parquet"
    with pytest.raises(InputError, match=r"no column 'f3' in .*narrow.parquet"):
        trainwright.predict("trained", storage=trained.storage, data=narrow, out=out)
    bare = trained.folder / "bare.parquet"
    with pytest.raises(InputError, match="no column 'colour'"):
        trainwright.evaluate("trained", storage=trained.storage, data=bare)
    assert list(tmp_path.iterdir()) == []


def test_a_file_with_other_columns_is_refused(trained: Trained, tmp_path: Path) -> None:
    text = tmp_path / "text.parquet"
    pq.write_table(pa.table({f"f{i}": ["one", "two"] for i in range(4)}), text)
    with pytest.raises(InputError, match="features"):
        trainwright.predict(
            "trained", storage=trained.storage, data=text, out=tmp_path / "out.parquet"
        )
    with pytest.raises(InputError, match="must end with"):
        trainwright.predict("trained", storage=trained.storage, data=text, out="out.csv")


def test_the_export_is_recalibrated_and_loads_into_the_plain_model(trained: Trained) -> None:
    state = load_file(trained.run / "export" / "model.safetensors")
    plain = MLP(4, 3, [8], batch_norm=True)
    plain.load_state_dict(state, strict=True)
    hidden = nn.functional.linear(
        trained.inputs(1, 100), state["body.0.weight"], state["body.0.bias"]
    )
    torch.testing.assert_close(state["body.1.running_mean"], hidden.mean(dim=0))
    torch.testing.assert_close(state["body.1.running_var"], hidden.var(dim=0))
    trained_mean = trained.model.state_dict()["body.1.running_mean"]
    assert not torch.allclose(trained_mean, state["body.1.running_mean"], atol=1e-3)
    torch.testing.assert_close(state["head.weight"], trained.model.head.weight.detach())


def test_the_commands(trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["--storage", str(trained.storage), "--data", str(trained.folder / "unseen.parquet")]
    with pytest.raises(SystemExit, match="0"):
        main(["evaluate", "trained", *place, "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert (answer["status"], answer["num_samples"]) == ("evaluated", {"data": 40})
    assert answer["metrics"] == _named(trained.expected(3, 40), "data")
    out = tmp_path / "here.parquet"
    with pytest.raises(SystemExit, match="0"):
        main(["predict", "trained", *place, "--out", str(out)])
    assert "predicted 40 samples by trained" in capsys.readouterr().out
    assert pq.read_table(out).num_rows == 40
    with pytest.raises(SystemExit, match="2"):
        main(["predict", "nobody", *place, "--out", str(out)])
    assert "no such run" in capsys.readouterr().err


def test_a_job_that_holds_nothing_out_needs_data(tmp_path: Path) -> None:
    values = _job(tmp_path, strategies=[], metrics=[], data={"source": "digits"})
    values["training"] = {"steps": 1}
    trainwright.run(trainwright.Job.from_dict(values, base=tmp_path))
    with pytest.raises(InputError, match="holds out no samples"):
        trainwright.evaluate("trained", storage=tmp_path / "runs")
    done = trainwright.evaluate("trained", storage=tmp_path / "runs", data="digits")
    assert done.num_samples == {"data": 1797}


def test_the_metrics_of_strategies_can_be_monitored(trained: Trained) -> None:
    def validate(**monitor: Any) -> Any:
        values = _job(trained.folder, training={"monitor": monitor})
        return trainwright.validate(trainwright.Job.from_dict(values, base=trained.folder))

    with pytest.raises(InputError, match="whether more of it is better"):
        validate(metric="validation/agreement")
    with pytest.raises(InputError, match="validation/agreement"):
        validate(metric="validation/agreeement")
    assert validate(metric="validation/agreement", mode="max").steps == 7
