"""What is wrong with a federation is told with its place, before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from federations import values_of

import trainwright
from trainwright.errors import InputError

NORM = {"name": "mlp", "hidden": [8], "batch_norm": True}
WITHOUT = {"source": "digits", "batch_size": 16}

OF_THE_FORM: list[tuple[dict[str, Any], str, str]] = [
    ({"federation__round": 3}, "federation.round", "nearest: rounds"),
    ({"federation__sampling": {"droput": 0.1}}, "federation.sampling.droput", "nearest: dropout"),
    ({"federations": {}}, "federations", "nearest: federation"),
    ({"engine": "local"}, "engine", "a job with this key is of kind: train"),
    ({"federation": {"clients": 3}}, "federation.rounds", "is missing"),
    ({"federation": None}, "federation", "is empty"),
    ({"federation__cohort": 1.5}, "federation.cohort", "whole number > 0 or number > 0 and <= 1"),
    ({"training": {"precision": "fp16"}}, "training.precision", "nearest: bf16"),
    ({"training": {"epochs": 2, "steps": 3}}, "training.steps", "remove training.epochs or"),
    (
        {"federation__client_evaluation": {"personalise": {"epochs": 1, "steps": 2}}},
        "federation.client_evaluation.personalise.steps",
        "both 1 epochs and 2 steps",
    ),
    ({"data": WITHOUT, "federation__decomposition": True}, "federation.decomposition", "add data."),
    (
        {"data": WITHOUT, "federation__monitor": "validation/loss"},
        "federation.monitor",
        "add data.",
    ),
    ({"data__streaming": True}, "data.streaming", "a federation's table is in memory"),
    (
        {"storage": "memory://runs", "cluster": {"workers": 2}},
        "storage",
        "in the memory of one process",
    ),
    ({"cluster": {"workers": [1, 2]}}, "cluster.workers", "is of the wrong type"),
    ({"federation__privacy": {"noise": 1.0}}, "federation.privacy.noise", "set federation.privacy"),
]
OF_PLUGINS: list[tuple[dict[str, Any], str, str]] = [
    ({"federation__aggregator": "fedavgg"}, "federation.aggregator", "nearest: fedavg"),
    (
        {"federation__aggregator": {"name": "fedavg", "server_rate": 1}},
        "federation.aggregator.server_rate",
        "nearest: server_lr",
    ),
    ({"federation__partition": "dirichlt"}, "federation.partition", "nearest: dirichlet"),
    (
        {"federation__partition": {"name": "dirichlet", "alpha": 0}},
        "federation.partition.alpha",
        "greater than 0",
    ),
    ({"federation__update_transforms": ["top_kk"]}, "federation.update_transforms.0", "top_k"),
    ({"federation__monitor": "validation/acuracy"}, "federation.monitor", "validation/loss"),
]
OF_THE_WHOLE: list[tuple[dict[str, Any], str, str]] = [
    ({"federation__cohort": 8}, "federation.cohort", "at most 7"),
    ({"federation__clients": None}, "federation.partition", "give federation.clients"),
    ({"federation__clients": 1000}, "federation.partition", "too few for 1000 clients"),
    (
        {"federation__partition": {"name": "by_column", "column": "sites"}},
        "federation.partition.column",
        "no such column",
    ),
    ({"strategies": ["early_stopping"]}, "strategies.0", "needs the hooks phase_begin, evaluated"),
    ({"optimizer": {"name": "muon", "lr": 0.1}}, "optimizer", "muon"),
    ({"federation__aggregator": "fedbn"}, "federation.aggregator", "no batch normalisation"),
    (
        {"federation__aggregator": "scaffold", "optimizer": {"name": "adam"}},
        "federation.aggregator",
        "plain SGD",
    ),
    (
        {"model": NORM, "federation__execution": "batched"},
        "federation.execution",
        "cannot be trained side by side",
    ),
    (
        {"federation__aggregator": "fedld", "federation__privacy": {"masked_sums": True}},
        "federation.aggregator",
        "which masked_sums hide",
    ),
    ({"model": NORM, "data__batch_size": 1}, "data.batch_size", "at least 2"),
    (
        {
            "model": NORM,
            "federation__clients": 60,
            "federation__partition": {"name": "quantity_skew", "sigma": 3},
        },
        "federation.partition",
        "trains on a single sample",
    ),
    (
        {"federation__cohort": 3, "federation__sampling": {"min_clients": 5}},
        "federation.sampling.min_clients",
        "at most 3",
    ),
    (
        {"federation__client_evaluation": {"clients": 500}},
        "federation.client_evaluation.clients",
        "at most 7",
    ),
]


@pytest.mark.parametrize(
    ("sections", "path", "told"),
    [*OF_THE_FORM, *OF_PLUGINS, *OF_THE_WHOLE],
    ids=lambda value: value if isinstance(value, str) and "." in value else "",
)
def test_one_clear_error(
    sections: dict[str, Any],
    path: str,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(values_of(**sections), sort_keys=False))
    with pytest.raises(InputError) as caught:
        trainwright.run("job.yaml")
    (problem,) = caught.value.problems
    assert problem.path == path
    assert problem.location is not None
    assert problem.location.line > 1
    assert told in str(problem)
    assert [file.name for file in tmp_path.iterdir()] == ["job.yaml"], "nothing was started"
