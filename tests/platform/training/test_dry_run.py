"""What does not fit together is told before training, with its place and a way out."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

from trainwright.errors import InputError
from trainwright.job import Job
from trainwright.orchestration.prepare import Prepared, prepare

BASE: dict[str, Any] = {
    "name": "dry",
    "data": {"source": "digits", "batch_size": 64, "validation": 0.2},
    "model": {"name": "mlp", "hidden": [8]},
    "objective": "cross_entropy",
    "cluster": {"workers": 0},
    "tracking": {"enabled": False},
}

PLUGINS = """
import torch
from torch import nn

from trainwright.strategy import Declares, Strategy


class NeedsEmbedding(nn.Module):
    def forward(self, embeding, target):
        return embeding.mean()


class NoReduction(nn.Module):
    def forward(self, logits, target):
        return nn.functional.cross_entropy(logits, target)


class Vector(nn.Module):
    def forward(self, logits):
        return logits.sum(dim=1)


class Constant(nn.Module):
    def forward(self, logits):
        return torch.ones(())


class Broken(nn.Module):
    def forward(self, logits):
        raise KeyError("teacher")


class Coupled(nn.Module):
    couples = "batch"

    def forward(self, logits):
        return logits.std()


class Weighing(Strategy):
    declares = Declares(per_sample=True, conflicts={"early_stopping": "both end training"})


class Picky(Strategy):
    declares = Declares(engines=("deepspeed",), zero_stages=(0, 1), precisions=("fp32",))


class Surgeon(Strategy):
    def model(self, model, context):
        raise ValueError("no convolution to cut")


class Grouping(Strategy):
    def parameters(self, groups):
        raise ValueError("a group too many")


class Failing(Strategy):
    def loss(self, batch, compute):
        raise RuntimeError("of no use")


class Once(Strategy):
    evaluated = False

    def evaluate(self, evaluation):
        if self.evaluated:
            raise RuntimeError("once is enough")
        self.evaluated = True
        return {"seen": 1.0}


class Pair(nn.Module):
    def __init__(self, in_features: int, num_classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(in_features, num_classes)

    def forward(self, image):
        logits = self.fc(image.flatten(1))
        return logits, logits


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(64, 10)

    def forward(self, image, context):
        return self.fc(image.flatten(1))


class Scalar(nn.Module):
    def __init__(self, trained: bool = True) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()), requires_grad=trained)

    def forward(self, image):
        return image.flatten(1) * self.scale


class Tempered(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.tensor(1.0))

    def forward(self, logits, target):
        return nn.functional.cross_entropy(logits * self.temperature, target)


class Frozen(nn.Module):
    def forward(self, image):
        return image.flatten(1)[:, :10]
"""


def _prepare(tmp_path: Path, **changes: Any) -> Prepared:
    (tmp_path / "own.py").write_text(textwrap.dedent(PLUGINS))
    return prepare(Job.from_dict({**BASE, **changes}, base=tmp_path))


def _refusal(tmp_path: Path, **changes: Any) -> str:
    with pytest.raises(InputError) as caught:
        _prepare(tmp_path, **changes)
    return str(caught.value)


def test_a_good_job_is_summarised(tmp_path: Path) -> None:
    prepared = _prepare(tmp_path, model={"name": "convnet", "dropout": 0.1})
    assert any(
        "1438 training, 359 validation" in line or "training" in line for line in prepared.summary
    )
    assert any("batch normalisation" in remark for remark in prepared.remarks)
    assert any("dropout" in remark for remark in prepared.remarks)
    assert prepared.name.startswith("dry-")


def test_what_moves_when_workers_come_and_go_is_said(tmp_path: Path) -> None:
    model = {"name": "convnet", "dropout": 0.1}
    prepared = _prepare(tmp_path, model=model, cluster={"workers": [1, 2], "cpus_per_worker": 0.1})
    assert ["whenever workers come or go" in r for r in prepared.remarks] == [True, True]


def test_a_job_that_does_not_depend_on_the_number_of_workers_has_no_remarks(tmp_path: Path) -> None:
    assert _prepare(tmp_path).remarks == []


def test_an_input_of_the_objective_that_nobody_gives(tmp_path: Path) -> None:
    text = _refusal(tmp_path, objective="own.py:NeedsEmbedding")
    assert "needs 'embeding'" in text
    assert "nearest: embedding" in text
    assert "bind: {embeding: embedding}" in text


def test_a_binding_to_nothing_and_of_nothing(tmp_path: Path) -> None:
    text = _refusal(tmp_path, objective={"name": "cross_entropy", "bind": {"target": "lable"}})
    assert "needs 'lable'" in text
    text = _refusal(tmp_path, objective={"name": "cross_entropy", "bind": {"targets": "target"}})
    assert "objective.bind.targets" in text
    assert "nearest: target" in text


def test_an_objective_must_give_one_number_that_depends_on_the_weights(tmp_path: Path) -> None:
    assert "must return one number" in _refusal(tmp_path, objective="own.py:Vector")
    assert "does not depend on anything" in _refusal(tmp_path, objective="own.py:Constant")
    assert "KeyError: 'teacher' (own.py:" in _refusal(tmp_path, objective="own.py:Broken")
    unreduced = {"name": "cross_entropy", "reduction": "none"}
    assert "one number per batch" in _refusal(tmp_path, objective=unreduced)


def test_a_target_that_would_broadcast_is_refused(tmp_path: Path) -> None:
    data = {"source": "digits", "batch_size": 64}
    text = _refusal(tmp_path, data=data, objective="mse")
    assert "mse" in text
    assert "fails on the first samples" in text


def test_models_that_do_not_fit(tmp_path: Path) -> None:
    assert "the job gives no names" in _refusal(tmp_path, model="own.py:Pair")
    named = {"name": "own.py:Pair", "outputs": ["logits", "copy"]}
    assert _prepare(tmp_path, model=named).total_steps > 0
    text = _refusal(tmp_path, model="own.py:TwoInputs")
    assert "needs 'context', which is not a column" in text
    assert "nothing to train" in _refusal(tmp_path, model="own.py:Frozen")


def test_scalars_that_no_worker_could_share_are_named_with_the_mend(tmp_path: Path) -> None:
    text = _refusal(tmp_path, model="own.py:Scalar", objective="own.py:Tempered")
    assert "model: has a parameter of shape ()" in text
    assert "got:     'scale'" in text
    assert "objective: has a parameter of shape ()" in text
    assert "temperature'" in text
    assert "nn.Parameter(torch.zeros(1))" in text
    # One that is not trained is cut at stage 3 alone.
    frozen = {"name": "own.py:Scalar", "trained": False}
    assert "nothing to train" in _refusal(tmp_path, model=frozen)
    shared = {"engine": "deepspeed", "deepspeed": {"zero_optimization": {"stage": 3}}}
    assert "got:     'scale'" in _refusal(tmp_path, model=frozen, **shared)


def test_strategies_that_do_not_fit(tmp_path: Path) -> None:
    text = _refusal(tmp_path, strategies=["own.py:Surgeon"])
    assert "strategies.0: own.py:Surgeon: no convolution to cut" in text
    text = _refusal(tmp_path, strategies=["own.py:Grouping"])
    assert "strategies.0: own.py:Grouping: a group too many" in text
    assert "RuntimeError: of no use (own.py:" in _refusal(tmp_path, strategies=["own.py:Failing"])
    assert "is not a strategy" in _refusal(tmp_path, strategies=["own.py:Broken"])
    text = _refusal(tmp_path, objective="own.py:NoReduction", strategies=["own.py:Weighing"])
    assert "needs the loss of each sample" in text
    stopping = {"name": "early_stopping"}
    text = _refusal(tmp_path, strategies=[{"name": "own.py:Weighing"}, stopping])
    assert "cannot be combined: both end training" in text


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"cluster": {"workers": 0}}, "allowed: engine: deepspeed"),
        (
            {"cluster": {"workers": 1}, "deepspeed": {"zero_optimization": {"stage": 2}}},
            "got:     'deepspeed.zero_optimization.stage: 2'",
        ),
        (
            {"cluster": {"workers": 1}, "training": {"precision": "bf16"}},
            "training.precision: bf16",
        ),
    ],
)
def test_declared_limits_are_kept(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    assert expected in _refusal(tmp_path, strategies=["own.py:Picky"], **changes)


def test_optimizers_that_need_whole_parameters(tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        "optimizer": {"name": "adafactor", "lr": 0.01},
        "cluster": {"workers": 1},
        "deepspeed": {"zero_optimization": {"stage": 1}},
    }
    assert "needs whole parameters" in _refusal(tmp_path, **changes)
    assert _prepare(tmp_path, **{**changes, "deepspeed": {}}).total_steps > 0


def test_a_coupled_objective_may_be_cut_into_micro_batches(tmp_path: Path) -> None:
    training = {"epochs": 1, "micro_batch_size": 16}
    remarks = _prepare(tmp_path, objective="own.py:Coupled", training=training).remarks
    assert any("couples samples" in remark for remark in remarks)


def test_more_workers_than_samples_in_a_batch(tmp_path: Path) -> None:
    text = _refusal(tmp_path, data={**BASE["data"], "batch_size": 2}, cluster={"workers": 4})
    assert "batch_size" in text


def test_the_monitored_metric_must_be_evaluated(tmp_path: Path) -> None:
    text = _refusal(tmp_path, metrics=["accuracy"], training={"monitor": "validation/acuracy"})
    assert "nearest: validation/accuracy" in text


def test_plugin_files_enter_the_name_of_the_run(tmp_path: Path) -> None:
    before = _prepare(tmp_path, objective="own.py:NoReduction")
    assert set(before.plugin_files) == {"own.py"}
    (tmp_path / "own.py").write_text(textwrap.dedent(PLUGINS) + "\n# changed\n")
    after = prepare(Job.from_dict({**BASE, "objective": "own.py:NoReduction"}, base=tmp_path))
    assert before.name != after.name
    assert _prepare(tmp_path).name == _prepare(tmp_path).name


def test_a_metric_that_a_strategy_watches_must_be_evaluated(tmp_path: Path) -> None:
    stopping = {"name": "early_stopping", "monitor": "validation/acuracy", "mode": "max"}
    text = _refusal(tmp_path, metrics=["accuracy"], strategies=[stopping])
    assert "strategies.0: early_stopping watches a metric" in text
    assert "nearest: validation/accuracy" in text
    data = {"source": "digits", "batch_size": 64}
    assert "no data.validation" in _refusal(tmp_path, data=data, strategies=["early_stopping"])


def test_the_strategies_evaluation_is_tried_once(tmp_path: Path) -> None:
    _prepare(tmp_path, strategies=["own.py:Once"])
