"""supernet_search: searches of a real supernet, bounds, what it writes, refusals."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file
from stories import Story

import trainwright
from trainwright.errors import InputError, RunError
from trainwright.orchestration.exporting import named_checkpoint
from trainwright.procedure import TrainedRun
from trainwright.storage import Folder
from trainwright_strategies.residual_supernet import ResidualSupernet
from trainwright_strategies.supernet_search import SupernetSearch
from trainwright_strategies.supernets.protocol import find_supernet
from trainwright_strategies.supernets.scoring import Scorer

TRAINING: dict[str, Any] = {
    "data": {"source": "digits", "batch_size": 64, "validation": 0.3, "test": 0.3},
    "model": "residual_supernet",
    "objective": "cross_entropy",
    "strategies": ["uniform_path_sampling"],
    "optimizer": {"name": "adam", "lr": 0.01},
    "training": {"epochs": 6, "evaluate_every": "6 epochs", "checkpoint_every": "6 epochs"},
    "metrics": ["accuracy"],
}
SMALL = {"evaluations": 20, "population": 8, "tournament": 3, "offspring": 4}


@pytest.fixture(autouse=True)
def _undrawn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures take longer than all else here: one test draws them."""
    if "drawn" not in request.node.name:
        monkeypatch.setattr("trainwright.procedure.context.png_of", lambda figure: b"")


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nas") / "runs"


def job(storage: Path, training: dict[str, Any] = TRAINING, **options: Any) -> dict[str, Any]:
    return {
        "kind": "procedure",
        "name": "nas",
        "procedure": {"name": "supernet_search", **SMALL, **options},
        "runs": {"supernet": training},
        "storage": str(storage),
        "tracking": {"enabled": False},
    }


def artifacts(result: Any) -> Path:
    return Path(result.storage) / "artifacts"


def paths_of(result: Any) -> list[dict[str, Any]]:
    found = json.loads((artifacts(result) / "paths.json").read_text())
    assert isinstance(found, list)
    return found


def trained(storage: Path, label: str = "supernet") -> TrainedRun:
    name = next(path.name for path in storage.iterdir() if path.name.startswith(f"{label}-"))
    folder, record, checkpoint = named_checkpoint(Folder(str(storage)), name)
    return TrainedRun(record.name, folder.url, checkpoint.name)


def test_all_paths_are_ranked_by_what_they_inherit_and_drawn(storage: Path) -> None:
    result = trainwright.run(job(storage, algorithm="all"))
    rows = paths_of(result)
    assert {tuple(row["path"]) for row in rows} == set(ResidualSupernet(1, 1).space.all())
    scores = [row["score"] for row in rows]
    assert scores == sorted(scores, reverse=True)
    run = trained(storage)
    model = run.model()
    supernet = find_supernet(model)
    for row in rows[::9]:
        supernet.path = tuple(row["path"])
        assert row["score"] == run.evaluate("validation", model)["accuracy"]
        assert row["parameters"] == supernet.parameters_of(row["path"])
        assert row["operations"] == supernet.space.name(row["path"])
    found = result.metrics
    assert (found["score"], found["parameters"]) == (scores[0], rows[0]["parameters"])
    assert found["median_score"] == statistics.median(scores)
    assert found["num_scored"] == 64
    assert found["num_on_front"] == sum(row["on_front"] for row in rows)
    assert found["latency_ms"] > 0
    figures = sorted((Path(result.storage) / "figures").glob("*.png"))
    assert [file.name.partition("-")[0] for file in figures] == ["progress", "scores"]
    assert all(file.stat().st_size > 5000 for file in figures)


def test_the_best_is_written_with_its_weights_and_as_a_job(storage: Path, tmp_path: Path) -> None:
    result = trainwright.run(job(storage, algorithm="all"))
    best = paths_of(result)[0]["path"]
    state = load_file(artifacts(result) / "inherited.safetensors")
    alone = ResidualSupernet(64, 10, path=best)
    alone.load_state_dict(state)
    alone.eval()
    batches = list(trained(storage).batches("validation"))
    right = sum(
        int((alone(batch["image"])["logits"].argmax(1) == batch["target"]).sum())
        for batch in batches
    )
    assert right / sum(len(batch["target"]) for batch in batches) == pytest.approx(
        result.metrics["score"]
    )
    written = yaml.safe_load((artifacts(result) / "architecture.yaml").read_text())
    assert written["model"] == {"name": "residual_supernet", "path": best}
    assert written["strategies"] == []
    assert not (artifacts(result) / "retrained.safetensors").exists()
    inherited = result.metrics["inherited/validation/accuracy"]
    assert inherited == result.metrics["score"]
    assert "inherited/test/accuracy" in result.metrics


def test_the_best_is_trained_alone_and_random_ones_beside_it(storage: Path) -> None:
    retrain = {"training.epochs": 2, "model": {"width": 6}}
    result = trainwright.run(job(storage, algorithm="all", retrain=retrain, references=2))
    file = artifacts(result) / "architecture.yaml"
    written = yaml.safe_load(file.read_text())
    assert written["training"]["epochs"] == 2
    assert written["model"]["width"] == 6
    overrides = [f"storage={storage}", "tracking.enabled=false"]
    again = trainwright.run(file, overrides=overrides)
    assert again.already_finished, "the job that is written is the one that was trained"
    found = result.metrics
    assert found["retrained/validation/accuracy"] == again.metrics["validation/accuracy"]
    state = load_file(artifacts(result) / "retrained.safetensors")
    assert state["stem.weight"].shape == (6, 64)
    runs = [path for path in storage.iterdir() if path.name.startswith("architecture-")]
    assert 2 <= len(runs) <= 3
    others = [
        trainwright.evaluate(path.name, storage=storage).metrics["test/accuracy"]
        for path in runs
        if path.name != again.run
    ]
    assert found["references/test/accuracy"] == pytest.approx(statistics.mean(others))


def test_evolution_learns_and_random_search_draws(storage: Path) -> None:
    for algorithm in ("evolution", "random"):
        result = trainwright.run(job(storage, algorithm=algorithm))
        rows = paths_of(result)
        assert len({tuple(row["path"]) for row in rows}) == result.metrics["num_scored"] == 20
        curve = Story.of(Path(result.storage)).curve("search/accuracy")
        assert curve == sorted(curve)
        assert curve[-1] == result.metrics["score"] == rows[0]["score"]
        assert len(curve) == (4 if algorithm == "evolution" else 1)


def test_a_loss_is_minimised(storage: Path) -> None:
    result = trainwright.run(job(storage, algorithm="all", metric="loss"))
    losses = [row["score"] for row in paths_of(result)]
    assert losses == sorted(losses)
    assert losses[0] > 0
    assert result.metrics["score"] == losses[0] == result.metrics["inherited/validation/loss"]
    assert trainwright.run(job(storage, metric="loss", goal="max")).metrics["score"] > losses[0]


def test_bounds_hold(storage: Path) -> None:
    result = trainwright.run(job(storage, max_parameters=700))
    rows = paths_of(result)
    assert max(row["parameters"] for row in rows) <= 700
    count = sum(ResidualSupernet(64, 10).parameters_of(p) <= 700 for p in all_paths())
    assert len(rows) == min(20, count)
    tight = trainwright.run(job(storage, max_parameters=610))
    assert [row["path"] for row in paths_of(tight)] == [[0, 0, 0]]


def all_paths() -> Any:
    return ResidualSupernet(64, 10).space.all()


def test_a_bound_on_latency_holds_for_what_was_measured(
    storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "trainwright_strategies.supernets.scoring.Bench.latency_ms",
        lambda bench, path, batch, repeats: 1.0 + sum(path),
    )
    result = trainwright.run(job(storage, algorithm="all", max_latency_ms=4.0))
    assert all(row["latency_ms"] == 1.0 + sum(row["path"]) <= 4.0 for row in paths_of(result))
    assert len(paths_of(result)) == sum(sum(path) <= 3 for path in all_paths())
    tight = trainwright.run(job(storage, max_latency_ms=1.0))
    assert [row["path"] for row in paths_of(tight)] == [[0, 0, 0]]
    assert tight.metrics["latency_ms"] == 1.0
    with pytest.raises(InputError, match=r"skip\|skip\|skip, takes 1 ms") as caught:
        trainwright.run(job(storage, max_latency_ms=0.5))
    assert caught.value.problems[0].path == "procedure.max_latency_ms"


def test_what_failed_goes_on_to_the_same_result(
    storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = job(storage, max_parameters=1200)
    whole = trainwright.run(values)
    score, calls = Scorer.__call__, 0

    def failing(scorer: Scorer, paths: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 12:
            raise OSError("lost")
        return score(scorer, paths)

    monkeypatch.setattr(Scorer, "__call__", failing)
    with pytest.raises(RunError, match="lost"):
        trainwright.run(values, fresh=True)
    resumed = trainwright.run(values)
    assert resumed.run != whole.run
    assert calls == 12 + 20 - 11, "eleven were recorded"
    for name, value in whole.metrics.items():
        assert name == "latency_ms" or resumed.metrics[name] == value, name
    assert paths_of(resumed) == paths_of(whole)
    ours, theirs = (load_file(artifacts(r) / "inherited.safetensors") for r in (whole, resumed))
    assert all(ours[name].equal(theirs[name]) for name in ours)


@pytest.mark.slow
def test_two_workers_find_what_one_process_does(storage: Path) -> None:
    values = job(storage, algorithm="evolution", max_parameters=1200)
    here = trainwright.run(values)
    values["cluster"] = {"workers": 2, "cpus_per_worker": 0.5}
    there = trainwright.run(values, fresh=True)
    assert there.run != here.run
    assert paths_of(there) == paths_of(here)


@pytest.mark.parametrize(
    ("options", "path", "message"),
    [
        ({"metric": "acuracy"}, "procedure.metric", "nearest: accuracy"),
        ({"max_parameters": 609}, "procedure.max_parameters", "skip, has 610 weights"),
        ({"retrain": {"trainin": {}}}, "procedure.retrain.trainin", "no key"),
        (
            {"retrain": {"model.path": [0], "model.widht": 3}},
            "procedure.retrain.model.widht",
            "widht",
        ),
    ],
)
def test_refused_before_it_starts(
    options: dict[str, Any], path: str, message: str, storage: Path
) -> None:
    trainwright.run(job(storage, algorithm="all"))  # the supernet is trained
    with pytest.raises(InputError, match=message) as caught:
        trainwright.validate(job(storage, **options))
    assert path in [problem.path for problem in caught.value.problems]


def test_a_run_without_a_supernet_or_without_samples(storage: Path) -> None:
    plain = {**TRAINING, "model": "mlp", "strategies": []}
    with pytest.raises(InputError, match="the model is no supernet"):
        trainwright.run(job(storage, plain))
    data = {"source": "digits", "batch_size": 64, "validation": 0.3}
    with pytest.raises(InputError, match=r"procedure\.split: .* holds out no such samples"):
        trainwright.run(job(storage, {**TRAINING, "data": data}, split="test"))


def test_references_need_a_training() -> None:
    with pytest.raises(ValueError, match="references are trained as retrain says"):
        SupernetSearch(references=2)
