"""Strategies that order, choose and weight samples: whole runs against loops in plain PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ordered import SAMPLES, STEPS, ByImportance, Hard, Reference, Weighted, write_ordered_job
from stories import Story
from torch import Tensor

from trainwright.checkpoint import CheckpointStore
from trainwright.errors import JobError, RunError
from trainwright.orchestration.prepare import prepare
from trainwright.storage import Folder

_HARDEST = [("local", 0, "in process"), ("deepspeed", 2, "two"), ("deepspeed", 3, "two")]
ENGINES = [
    ("local", 0, "in process"),
    *(("deepspeed", stage, world) for stage in range(4) for world in ("one", "two")),
]
SOME = [
    pytest.param(setting, marks=() if setting in _HARDEST else pytest.mark.slow)
    for setting in ENGINES
]


def _work(job: dict[str, Any], base: str, run: str, start: tuple[str, str] | None) -> None:
    from trainwright.training.worker import WorkOrder, work

    work(WorkOrder(job=job, base=base, run_url=run, start_from=start), None)


@pytest.fixture(name="train")
def _train(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Path]:
    """Runs a job on an engine and a world; gives the run folder."""

    def train(
        setting: tuple[str, int, str],
        name: str = "run",
        start: tuple[str, str] | None = None,
        **changes: Any,
    ) -> Path:
        job = write_ordered_job(tmp_path, *setting, **changes)
        run = tmp_path / "runs" / name
        run.mkdir(parents=True)
        arguments = (
            job.spec.model_dump(mode="json", by_alias=True),
            str(tmp_path),
            str(run),
            start,
        )
        world = setting[2]
        if world == "in process":
            prepare(job)
            _work(*arguments)
        else:
            request.getfixturevalue(f"{world}_worker{'s' * (world == 'two')}").run(
                _work, *arguments
            )
        return run

    return train


def _weights(run: Path) -> dict[str, Tensor]:
    checkpoint = CheckpointStore(Folder(str(run))).latest()
    assert checkpoint is not None
    return {
        name.removeprefix("model."): checkpoint.full("param", name)
        for name in checkpoint.names("param")
    }


def _assert_follows(run: Path, reference: Reference) -> None:
    assert Story.of(run).curve("train/loss") == pytest.approx(reference.losses, abs=1e-5)
    expected = reference.model.state_dict()
    for name, value in _weights(run).items():
        torch.testing.assert_close(value, expected[name], atol=1e-5, rtol=1e-5, msg=name)


@pytest.mark.parametrize("setting", ENGINES, ids=lambda s: "-".join(map(str, s)))
def test_importance_sampling(train: Any, setting: tuple[str, int, str]) -> None:
    run = train(
        setting,
        strategies=[{"name": "ordering.py:ImportanceSampling"}],
        **{"training.micro_batch_size": 4},
    )
    reference = ByImportance().run()
    _assert_follows(run, reference)
    assert not torch.equal(reference.last, torch.ones(SAMPLES))


@pytest.mark.parametrize("setting", SOME, ids=lambda s: "-".join(map(str, s)))
def test_weights_from_the_batch_hook(train: Any, setting: tuple[str, int, str]) -> None:
    strategies = [{"name": "ordering.py:Weighting"}]
    run = train(setting, strategies=strategies, **{"training.micro_batch_size": 5})
    _assert_follows(run, Weighted().run())


@pytest.mark.parametrize("setting", SOME, ids=lambda s: "-".join(map(str, s)))
def test_samples_chosen_by_their_score(train: Any, setting: tuple[str, int, str]) -> None:
    strategies = [{"name": "ordering.py:HardHalf"}]
    micro = 6 if setting[2] != "two" else None
    run = train(setting, strategies=strategies, **{"training.micro_batch_size": micro})
    _assert_follows(run, Hard(2).run())


IMPORTANCE: dict[str, Any] = {"strategies": [{"name": "ordering.py:ImportanceSampling"}]}
COUPLED: dict[str, Any] = {
    "objective": "ordering.py:SameClass",
    "model": {"name": "mlp", "hidden": [7], "dropout": 0.2},
    "training.micro_batch_size": 3,
}


@pytest.mark.parametrize(
    ("first", "second", "changes"),
    [
        (("local", 0, "in process"), ("local", 0, "in process"), IMPORTANCE),
        (("deepspeed", 2, "two"), ("deepspeed", 2, "two"), IMPORTANCE),
        (("deepspeed", 3, "two"), ("deepspeed", 0, "one"), IMPORTANCE),
        (("local", 0, "in process"), ("local", 0, "in process"), COUPLED),
        (("deepspeed", 2, "two"), ("deepspeed", 2, "two"), COUPLED),
    ],
    ids=["local", "same workers", "other workers", "coupled", "coupled on workers"],
)
def test_a_run_resumed_in_mid_epoch_goes_on_as_if_undisturbed(
    train: Any, first: Any, second: Any, changes: dict[str, Any]
) -> None:
    undisturbed = train(second, "undisturbed", **changes)
    half = train(first, "half", **changes, **{"training.steps": 6})
    checkpoint = CheckpointStore(Folder(str(half))).latest()
    resumed = train(second, "resumed", (str(half), checkpoint.name), **changes)
    whole, rest = Story.of(undisturbed), Story.of(resumed)
    assert list(rest.samples) == list(range(7, STEPS + 1))
    assert rest.samples == {step: whole.samples[step] for step in rest.samples}
    exact = first == second
    for (name, step), value in rest.metrics.items():
        tolerance = 0.0 if exact else 1e-5
        assert value == pytest.approx(whole.metrics[name, step], abs=tolerance, rel=0), name
    for name, value in _weights(resumed).items():
        other = _weights(undisturbed)[name]
        torch.testing.assert_close(value, other, atol=0 if exact else 1e-5, rtol=0)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("short", r"must keep the table's length, 44, got shape \(43,\)"),
        ("beyond", "may name rows 0 to 43, got 1 to 44"),
        ("nan", "weights must be finite"),
    ],
)
def test_an_order_that_cannot_be_trained_on_is_refused(
    train: Any, fault: str, message: str
) -> None:
    with pytest.raises(JobError, match=message):
        train(ENGINES[0], strategies=[{"name": "ordering.py:OwnOrder", "fault": fault}])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {
                "strategies": [{"name": "ordering.py:ImportanceSampling"}],
                "objective": {"name": "cross_entropy", "reduction": "sum"},
            },
            "weights samples, and objective cross_entropy does not average over samples",
        ),
        (
            {"data.columns": {"sample_weight": {"type": "vector", "from": ["x0"]}}},
            "sample_weight is reserved",
        ),
    ],
    ids=["sum", "column"],
)
def test_what_cannot_be_weighted_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(JobError, match=message):
        prepare(write_ordered_job(tmp_path, *ENGINES[0], **changes))


def test_an_order_that_differs_between_workers_is_refused(train: Any) -> None:
    with pytest.raises(AssertionError, match="order of epoch 0 differs between workers"):
        train(
            ("deepspeed", 0, "two"), strategies=[{"name": "ordering.py:OwnOrder", "fault": "rank"}]
        )


def test_weights_must_be_declared(train: Any) -> None:
    with pytest.raises(RunError, match=r"Declares\(sample_weights=True\)"):
        train(ENGINES[0], strategies=[{"name": "ordering.py:Undeclared"}])
