"""evopress: levels and their budget in real models, whole searches, pieces, refusals."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from stories import Story
from torch import Tensor

import trainwright
from trainwright.orchestration.exporting import named_checkpoint
from trainwright.procedure import TrainedRun
from trainwright.storage import Folder
from trainwright_strategies.compression.database import Database
from trainwright_strategies.compression.workbench import Workbench
from trainwright_strategies.evopress import EvoPress

TRAINING: dict[str, Any] = {
    "data": {"source": "digits", "batch_size": 64, "validation": 0.3},
    "model": {"name": "mlp", "hidden": [32, 32, 32, 32]},
    "objective": "cross_entropy",
    "optimizer": {"name": "adam", "lr": 0.003},
    "training": {"epochs": 4},
    "metrics": ["accuracy"],
}
SMALL = {
    "target": 0.6,
    "generations": 4,
    "offspring": 6,
    "survivors": [2, 1],
    "num_samples": [32, 128],
}


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("evopress") / "runs"


def job(storage: Path, training: dict[str, Any] = TRAINING, **options: Any) -> dict[str, Any]:
    return {
        "kind": "procedure",
        "name": "evopress",
        "procedure": {"name": "evopress", **SMALL, **options},
        "runs": {"model": training},
        "storage": str(storage),
        "tracking": {"enabled": False},
    }


def point_of(result: Any) -> dict[str, int]:
    found = json.loads((Path(result.storage) / "artifacts" / "point.json").read_text())
    assert isinstance(found, dict)
    return found


def test_no_generations_give_the_uniform_point(storage: Path) -> None:
    result = trainwright.run(job(storage, generations=0))
    assert set(point_of(result).values()) == {0}
    assert list(point_of(result)) == [f"body.{2 * index}" for index in range(4)]
    assert result.metrics["total_deviation"] == 0


def test_on_all_samples_no_generation_is_worse_and_the_end_is_better(storage: Path) -> None:
    samples = 1258
    options = {"survivors": [1], "num_samples": [samples], "generations": 6}
    result = trainwright.run(job(storage, **options))
    uniform = trainwright.run(job(storage, generations=0))
    curve = Story.of(Path(result.storage)).curve("search/kl")
    assert len(curve) == 6
    # Up to the rounding of the same samples in another order.
    assert all(after <= before * (1 + 1e-5) for before, after in pairwise(curve))
    assert curve[-1] == pytest.approx(result.metrics["train/kl"], rel=1e-4)
    assert result.metrics["train/kl"] < uniform.metrics["train/kl"]
    assert sum(point_of(result).values()) == 0


def test_the_found_point_has_its_budget_and_its_divergence(storage: Path) -> None:
    result = trainwright.run(job(storage))
    run = next(path.name for path in storage.iterdir() if path.name.startswith("model-"))
    procedure = EvoPress(**SMALL)
    trained = trained_run(storage, run)
    database = Path(result.storage) / "artifacts" / "database"
    bench = Workbench(Database(trained, procedure.compression, Folder(str(database))))
    model = bench.set(tuple(point_of(result).values()))
    zeros = [int((unit.weight == 0).sum()) for unit in bench.units.values()]
    sizes = [unit.weight.numel() for unit in bench.units.values()]
    assert sum(zeros) == sum(round(0.6 * size) for size in sizes)
    batches = list(trained.batches("validation"))
    whole: Tensor = torch.cat([trained.forward(batch)["logits"] for batch in batches])
    found: Tensor = torch.cat([trained.forward(batch, model)["logits"] for batch in batches])
    p, q = whole.detach().double().softmax(1), found.detach().double().softmax(1)
    expected = float((p * (p / q).log()).sum(1).mean())
    assert result.metrics["validation/kl"] == pytest.approx(expected, rel=1e-4)
    assert (
        result.metrics["validation/accuracy"] == trained.evaluate("validation", model)["accuracy"]
    )


def trained_run(storage: Path, run: str) -> Any:
    folder, record, checkpoint = named_checkpoint(Folder(str(storage)), run)
    return TrainedRun(record.name, folder.url, checkpoint.name)


@pytest.mark.parametrize("search", ["evolution", "random"])
def test_pieces_do_not_change_what_is_found(search: str, storage: Path) -> None:
    one = trainwright.run(job(storage, search=search))
    other = trainwright.run(job(storage, search=search, pieces=4))
    assert other.run != one.run
    assert point_of(other) == point_of(one)
    assert other.metrics == one.metrics


@pytest.mark.slow
def test_workers_find_the_same_as_one_process(storage: Path) -> None:
    one = trainwright.run(job(storage, pieces=3))
    cluster = {"workers": 2, "cpus_per_worker": 0.5}
    several = trainwright.run({**job(storage, pieces=3), "cluster": cluster}, fresh=True)
    assert several.run != one.run
    assert point_of(several) == point_of(one)
    assert several.metrics == one.metrics


def test_bits(storage: Path) -> None:
    result = trainwright.run(job(storage, space="bits", target=3))
    levels = point_of(result)
    # The first layer has another size than the three others, so it keeps its bits.
    assert levels["body.0"] == 3
    assert sum(levels.values()) == 12
    assert 0 < result.metrics["validation/kl"] < 3


def test_bits_and_a_half_by_gptq(storage: Path) -> None:
    options = {"space": "bits", "target": 2.5, "initially_generated": 3}
    result = trainwright.run(job(storage, **options, compressor="gptq"))
    plain = trainwright.run(job(storage, **options))
    sizes = [64 * 32, 32 * 32, 32 * 32, 32 * 32]
    bits = sum(a * b for a, b in zip(sizes, point_of(result).values(), strict=True)) / sum(sizes)
    assert result.metrics["mean_bits"] == pytest.approx(bits)
    assert 2.5 - 2048 / sum(sizes) < bits <= 2.5
    assert "total_deviation" not in result.metrics
    assert result.metrics["validation/kl"] < plain.metrics["validation/kl"]


def test_sparsegpt_is_nearer_to_the_whole_model_than_magnitude(storage: Path) -> None:
    options = {"compressor": "sparsegpt", "fitness": "loss", "population": 2, "survivors": [3, 2]}
    result = trainwright.run(job(storage, **options))
    assert sum(point_of(result).values()) == 0
    assert len(Story.of(Path(result.storage)).curve("search/loss")) == 4
    uniform = trainwright.run(job(storage, generations=0))
    corrected = trainwright.run(job(storage, generations=0, compressor="sparsegpt"))
    assert corrected.metrics["validation/kl"] < uniform.metrics["validation/kl"]


def test_blocks_are_dropped(storage: Path) -> None:
    model = {"name": "vit", "dim": 12, "depth": 4, "heads": 2}
    vit = {**TRAINING, "model": model, "training": {"epochs": 1}}
    options = {"space": "drop", "target": 0.5, "units": ["blocks.?"], "initially_generated": 3}
    result = trainwright.run(job(storage, vit, **options))
    assert sorted(point_of(result).values()) == [0, 0, 1, 1]
    assert result.metrics["validation/kl"] > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": 1.0}, "target must be above 0 and below 1 for sparsity, got 1.0"),
        ({"space": "bits", "target": 0.5}, "target must be from 1 to 16 for bits, got 0.5"),
        ({"compressor": "gptq"}, "compressor must be magnitude or sparsegpt for sparsity, got"),
        (
            {"space": "drop", "units": ["b.*"], "compressor": "gptq"},
            "compressor must be left out for drop, got 'gptq'",
        ),
        ({"space": "bits", "target": 2.5, "max_total_deviation": 4}, "from a uniform point"),
        ({"space": "bits", "target": 2.5, "initially_generated": 0}, "must be at least 1 where no"),
        ({"population": 2}, "survivors must fall from at most offspring, 16, to population, 2"),
        ({"survivors": [2, 2, 1], "num_samples": [1, 2, 3]}, "survivors must fall from at most"),
        ({"survivors": [4, 2]}, "survivors must fall from at most offspring, 16, to population, 1"),
        (
            {"survivors": [20, 1]},
            "survivors must fall from at most offspring, 16, to population, 1",
        ),
        ({"survivors": [1]}, "must have one number for each stage"),
        ({"survivors": [], "num_samples": []}, "must have one number for each stage"),
        ({"space": "drop", "target": 0.5}, "units must name the blocks that can be dropped"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EvoPress(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_samples": [32, 2000]}, "num_samples asks for 2000 of 1258 samples"),
        ({"units": ["nothing"]}, "name 0 of the model's"),
        ({"max_total_deviation": 1}, "max_total_deviation"),
        ({"generations": -1}, "generations"),
    ],
)
def test_what_does_not_fit_the_run_is_refused(
    options: dict[str, Any], message: str, storage: Path
) -> None:
    trainwright.run(job(storage, generations=0))
    with pytest.raises(trainwright.InputError, match=message):
        trainwright.validate(job(storage, **options))
