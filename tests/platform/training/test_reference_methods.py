"""Very different methods through the public protocol, each equal to its plain PyTorch form.

On both engines, every ZeRO stage that a method declares, with one and two workers, with and
without accumulation, and with a checkpoint in the middle.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

TOLERANCE = 1e-5

METHODS = (
    "sharpness_aware",
    "adversarial_training",
    "input_penalty",
    "mean_teacher",
    "adversaries",
    "bilevel",
    "alignment",
    "curvature",
)
SECOND_ORDER = ("input_penalty", "curvature")


def _assembled(case: dict[str, Any]) -> tuple[Any, Any]:
    """Updater and everything that a checkpoint holds, as a worker would build them."""
    import reference_methods as methods
    import torch.distributed as dist

    from trainwright.data.loading import Splits
    from trainwright.data.table import Table
    from trainwright.data.transforms import TransformChain
    from trainwright.engine import EngineSettings, NamedModel, TrainModule
    from trainwright.engine.deepspeed import DeepSpeedEngine
    from trainwright.engine.local import LocalEngine
    from trainwright.objective import Term, WeightedSum
    from trainwright.strategy import Context, Plan
    from trainwright.training.further import build_auxiliaries, build_streams
    from trainwright.training.progress import Progress
    from trainwright.training.saving import Holdings
    from trainwright.training.update import Updater

    distributed = case["kind"] == "deepspeed"
    rank = dist.get_rank() if distributed else 0
    world = dist.get_world_size() if distributed else 1
    x, y = methods.held()
    table = Table.from_arrays({"x": x, "target": y}, {"x": "vector", "target": "class"})
    chain = TransformChain()
    splits = Splits(table, None, None, "", chain, {"held": (table, chain)})
    context = Context(seed=0, rank=rank, world_size=world)
    strategies = {case["method"]: methods.METHODS[case["method"]]()}
    model = NamedModel(methods.network(), {"input": "x"})
    auxiliaries = build_auxiliaries(strategies, model, context)
    plan = Plan(1, None, methods.SIZE, None, {}, {})
    streams = build_streams(strategies, splits, plan, context)
    terms = WeightedSum([Term(nn.CrossEntropyLoss(), "ce")])
    module = TrainModule(model, terms)
    settings = EngineSettings(
        rank=rank,
        world_size=world,
        deepspeed={"zero_optimization": {"stage": case.get("stage", 0)}},
    )
    optimizer = torch.optim.SGD(module.parameters(), lr=methods.RATE, momentum=0.9)
    engine = (DeepSpeedEngine if distributed else LocalEngine)(module, optimizer, settings)
    for strategy in strategies.values():
        strategy.begin(context)
    updater = Updater(engine, terms, list(strategies.values()), auxiliaries, streams)
    return updater, Holdings(engine, strategies, Progress(), auxiliaries, streams)


def _train(case: dict[str, Any], folder: str | None = None) -> dict[str, torch.Tensor]:
    """Train; with ``folder``, save after two updates and go on in freshly built objects."""
    import reference_methods as methods

    from trainwright.data.order import micro_batches, share
    from trainwright.training.feed import Update

    x, y = methods.samples()
    updater, holdings = _assembled(case)
    for index in range(methods.STEPS):
        if folder is not None and index == 2:
            _save(holdings, folder)
            updater, holdings = _assembled(case)
            _load(holdings, folder)
        updater.engine.module.train()
        settings = updater.engine.settings
        first, last = index * methods.SIZE, (index + 1) * methods.SIZE
        low, high = share(first, last, settings.rank, settings.world_size)
        batches = [
            {"x": x[a:b], "target": y[a:b]} for a, b in micro_batches(low, high, case["micro"])
        ]
        sums = updater(Update(index, 0, methods.SIZE, batches, (low, high)), [methods.RATE])
        assert "train/loss" in sums
    return updater.engine.master()


def _save(holdings: Any, folder: str) -> None:
    from types import SimpleNamespace

    from trainwright.checkpoint import CheckpointWriter
    from trainwright.storage import Folder
    from trainwright.training import saving

    settings = holdings.engine.settings
    writer = CheckpointWriter(Folder(folder), settings.rank, settings.world_size)
    job: Any = SimpleNamespace()
    saver = saving.Saver(writer, holdings, job, {}, 1, [])
    original, saving.public_values = saving.public_values, lambda job: {}
    try:
        saver(False)
    finally:
        saving.public_values = original
    writer.wait()


def _load(holdings: Any, folder: str) -> None:
    from trainwright.checkpoint import CheckpointStore
    from trainwright.storage import Folder
    from trainwright.training.saving import restore

    restore(CheckpointStore(Folder(folder)).latest(), holdings)


def _expected(method: str) -> dict[str, torch.Tensor]:
    from plain_methods import Plain

    return Plain().run(method)


def _assert_equal(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        worst = float((found[name].double() - value).abs().max())
        assert worst < TOLERANCE, f"{name} differs by {worst:.1e}"


@pytest.mark.parametrize("micro", [1, 3])
@pytest.mark.parametrize("method", METHODS)
def test_in_process(method: str, micro: int, tmp_path: Path) -> None:
    case = {"kind": "local", "method": method, "micro": micro}
    folder = str(tmp_path) if micro == 3 else None
    _assert_equal(_train(case, folder), _expected(method))


def _stages(method: str) -> tuple[int, ...]:
    return (0, 1, 2) if method in SECOND_ORDER else (0, 1, 2, 3)


HARDEST = [(method, _stages(method)[-1]) for method in METHODS]
OTHERS = [(method, stage) for method in METHODS for stage in _stages(method)[:-1]]


@pytest.mark.parametrize(("method", "stage"), HARDEST)
def test_on_two_workers(method: str, stage: int, two_workers: Any, tmp_path: Path) -> None:
    case = {"kind": "deepspeed", "method": method, "stage": stage, "micro": 3}
    first, second = two_workers.run(_train, case, str(tmp_path))
    _assert_equal(first, _expected(method))
    assert all(first[name].equal(second[name]) for name in first)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "stage"), OTHERS)
def test_at_the_other_stages(method: str, stage: int, two_workers: Any, tmp_path: Path) -> None:
    case = {"kind": "deepspeed", "method": method, "stage": stage, "micro": 3}
    _assert_equal(two_workers.run(_train, case, str(tmp_path))[0], _expected(method))


@pytest.mark.slow
@pytest.mark.parametrize(("method", "stage"), [*HARDEST, *OTHERS])
def test_on_one_worker(method: str, stage: int, one_worker: Any) -> None:
    case = {"kind": "deepspeed", "method": method, "stage": stage, "micro": 1}
    _assert_equal(one_worker.run(_train, case)[0], _expected(method))


def test_references_differ_from_plain_training() -> None:
    """Each method moves the weights elsewhere, so that agreement means something."""
    ends = {method: _expected(method)["model.0.weight"] for method in METHODS}
    for one, other in itertools.combinations(METHODS, 2):
        assert float((ends[one] - ends[other]).abs().max()) > 100 * TOLERANCE, (one, other)
