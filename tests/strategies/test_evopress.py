"""evopress: levels and their budget in real models, whole searches, pieces, refusals."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from stories import Story
from torch import Tensor, nn

import trainwright
from trainwright.models.gpt import GPT
from trainwright.orchestration.exporting import named_checkpoint
from trainwright.procedure import TrainedRun
from trainwright.storage import Folder
from trainwright_strategies.compression.levels import (
    Compression,
    Workbench,
    kl_divergence,
    pruned,
    quantized,
)
from trainwright_strategies.evopress import EvoPress

WHOLE = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
COMPRESSED = torch.tensor([[1.0, 0.5, -1.0], [0.0, 0.5, 0.5]])


def test_divergence_of_worked_logits() -> None:
    for row, expected in ((0, 0.171808), (1, 0.088663)):
        found = kl_divergence(WHOLE[row : row + 1], COMPRESSED[row : row + 1])
        assert float(found) == pytest.approx(expected, abs=1e-6)
    assert float(kl_divergence(WHOLE, COMPRESSED)) == pytest.approx(0.130236, abs=1e-6)
    assert float(kl_divergence(WHOLE, WHOLE)) == 0
    shifted = kl_divergence(WHOLE + torch.tensor([[50.0], [-9.0]]), COMPRESSED - 7)
    assert float(shifted) == pytest.approx(0.130236, abs=1e-5)


def test_divergence_of_sequences_leaves_the_last_position_out() -> None:
    whole, compressed = WHOLE[None].repeat(2, 1, 1), COMPRESSED[None].repeat(2, 1, 1)
    assert float(kl_divergence(whole, compressed)) == pytest.approx(0.171808, abs=1e-6)


def test_divergence_is_finite_in_half_precision_and_for_large_logits() -> None:
    whole = torch.tensor([[300.0, -300.0]], dtype=torch.bfloat16)
    found = kl_divergence(whole, -whole)
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(600, rel=0.01)


@pytest.mark.parametrize("bits", [2, 3, 8])
def test_rounding_against_all_allowed_values(bits: int) -> None:
    weight = torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(0))
    largest = 2 ** (bits - 1) - 1
    for row, found in zip(weight, quantized(weight, bits), strict=True):
        allowed = torch.arange(-largest, largest + 1) * row.abs().max() / largest
        errors = (row.reshape(-1, 1) - allowed).abs()
        nearest = allowed[errors.argmin(1)].view_as(row)
        torch.testing.assert_close(found, nearest)
        assert len(found.unique()) <= 2 * largest + 1


def test_rounding_of_ends() -> None:
    weight = torch.tensor([[1.0, -3.0], [0.0, 0.0]])
    assert quantized(weight, 1).tolist() == [[2.0, -2.0], [0.0, 0.0]]
    assert quantized(weight, 4)[1].tolist() == [0.0, 0.0]


def test_pruning_takes_exactly_as_many_of_the_smallest() -> None:
    weight = torch.randn(7, 11, generator=torch.Generator().manual_seed(0))
    for count in (0, 1, 30, 76, 77):
        found = pruned(weight, count)
        assert int((found == 0).sum()) == count
        if 0 < count < 77:
            assert weight[found == 0].abs().max() <= weight[found != 0].abs().min()


def test_a_level_is_as_many_weights_in_units_of_any_size() -> None:
    compression = Compression("sparsity", 0.8, step=0.1, max_level=3)
    space = compression.space([100, 1000, 100])
    assert space.start == (0, 0, 0)
    # 20 weights of the small ones are left at level 0: one more level would leave 10, two none.
    assert space.highest == (1, 3, 1)
    assert space.lowest == (-3, -3, -3)
    counts = [compression.num_pruned(size, 100, c) for size, c in ((100, 1), (1000, -2), (100, 1))]
    assert counts == [90, 780, 90]
    assert sum(counts) == 0.8 * 1200


def test_spaces_of_bits_and_blocks() -> None:
    bits = Compression("bits", 3, max_level=4).space([10, 20, 10, 20, 30])
    assert (bits.start, bits.lowest, bits.highest) == ((3,) * 5, (1,) * 5, (7,) * 5)
    assert bits.groups == ((0, 2), (1, 3), (4,))
    drop = Compression("drop", 0.3, ("x",)).space([1] * 10)
    assert drop.start == (0, 0, 0) + (1,) * 7
    assert sum(Compression("drop", 0.29999, ("x",)).space([1] * 10).start) == 8


@pytest.mark.parametrize(
    ("compression", "sizes"),
    [
        (Compression("bits", 3), [10, 20]),
        (Compression("sparsity", 0.5, step=0.9), [1, 1]),
        (Compression("drop", 0.1, ("x",)), [1] * 5),
    ],
)
def test_spaces_without_room_are_refused(compression: Compression, sizes: list[int]) -> None:
    with pytest.raises(ValueError, match=r"no two units can exchange a level|drops 0 of 5 blocks"):
        compression.space(sizes)


def test_units_of_models() -> None:
    gpt = GPT(20, 8, dim=12, depth=2, heads=2)
    layers = [f"blocks.{b}.{n}" for b in (0, 1) for n in ("qkv", "project", "expand", "contract")]
    assert list(Compression("bits", 4).units_of(gpt)) == layers
    assert list(Compression("bits", 4, ("*.qkv",)).units_of(gpt)) == [layers[0], layers[4]]
    assert list(Compression("drop", 0.5, ("blocks.?",)).units_of(gpt)) == ["blocks.0", "blocks.1"]
    with pytest.raises(ValueError, match=r"other layers share the weights of head"):
        Compression("bits", 4, ("head", "*.qkv")).units_of(gpt)
    with pytest.raises(ValueError, match=r"name 0 of the model's"):
        Compression("bits", 4, ("nothing",)).units_of(gpt)
    with pytest.raises(ValueError, match=r"name 1 of the model's"):
        Compression("sparsity", 0.5).units_of(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)))


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
    assert all(after <= before for before, after in pairwise(curve))
    # The same samples in another order.
    assert curve[-1] == pytest.approx(result.metrics["train/kl"], rel=1e-4)
    assert result.metrics["train/kl"] < uniform.metrics["train/kl"]
    assert sum(point_of(result).values()) == 0


def test_the_found_point_has_its_budget_and_its_divergence(storage: Path) -> None:
    result = trainwright.run(job(storage))
    run = next(path.name for path in storage.iterdir() if path.name.startswith("model-"))
    procedure = EvoPress(**SMALL)
    trained = trained_run(storage, run)
    bench = Workbench(trained, procedure.compression)
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


def test_blocks_are_dropped(storage: Path) -> None:
    vit = {**TRAINING, "model": {"name": "vit", "dim": 12, "depth": 4, "heads": 2}}
    options = {"space": "drop", "target": 0.5, "units": ["blocks.?"], "initially_generated": 3}
    result = trainwright.run(job(storage, vit, **options))
    assert sorted(point_of(result).values()) == [0, 0, 1, 1]
    assert result.metrics["validation/kl"] > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": 1.0}, "target must be above 0 and below 1 for sparsity, got 1.0"),
        ({"space": "bits", "target": 2.5}, "target must be a whole number from 1 to 16 for bits"),
        ({"survivors": [2, 2, 1], "num_samples": [1, 2, 3]}, "survivors must fall from at most"),
        ({"survivors": [4, 2]}, "survivors must fall from at most offspring, 16, to 1"),
        ({"survivors": [20, 1]}, "survivors must fall from at most offspring, 16, to 1"),
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
