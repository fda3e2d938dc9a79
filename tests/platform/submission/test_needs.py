"""The processes that a job of any kind asks for."""

from __future__ import annotations

from pathlib import Path

import pytest
from packed_jobs import JOBS, PLUGINS, TRAIN, write

from trainwright.job import Job
from trainwright.submission.needs import need_of
from trainwright.submission.parcel import Need
from trainwright.submission.parts import parts_of

ALONE = "cluster: {workers: 0}"
COMPARE = JOBS["compare"][0]
SWEEP = JOBS["sweep"][0]


def need(files: dict[str, str], folder: Path, *overrides: str) -> Need:
    job = Job.load(write(folder, {**PLUGINS, **files}), overrides)
    return need_of(job, parts_of(job))


@pytest.mark.parametrize(
    ("cluster", "expected"),
    [
        ("{workers: 0, gpus_per_worker: 1}", Need(0, 1.0, 1.0)),
        ("{workers: 3, cpus_per_worker: 0.5}", Need(3, 0.5, 0.0)),
        ("{workers: [1, 4], gpus_per_worker: 1}", Need(4, 1.0, 1.0)),
    ],
)
def test_a_training(cluster: str, expected: Need, tmp_path: Path) -> None:
    text = TRAIN.replace(ALONE, f"cluster: {cluster}")
    assert need({"job.yaml": text}, tmp_path) == expected


def test_other_kinds_that_are_one_run(tmp_path: Path) -> None:
    federated = JOBS["federated"][0]
    assert need(federated, tmp_path) == Need(0, 1.0, 0.0)
    assert need(federated, tmp_path, "cluster.workers=2") == Need(2, 1.0, 0.0)
    procedure = JOBS["procedure"][0]
    assert need(procedure, tmp_path, "cluster.workers=5") == Need(5, 1.0, 0.0)
    wide = ["cluster.workers=1", "runs.trained.cluster={workers: 3, cpus_per_worker: 2}"]
    assert need(procedure, tmp_path, *wide) == Need(3, 2.0, 0.0)  # its trainings go before it


def test_a_comparison(tmp_path: Path) -> None:
    assert need(COMPARE, tmp_path) == Need(0, 1.0, 0.0)
    pool = "cluster={cpus_per_worker: 2}"
    assert need(COMPARE, tmp_path, pool) == Need(None, 2.0, 0.0)  # as many as there is room for
    own = [pool, "variants.mine.cluster={workers: 4, gpus_per_worker: 1}"]
    assert need(COMPARE, tmp_path, *own) == Need(4, 1.0, 1.0)  # such runs take turns


def test_a_sweep(tmp_path: Path) -> None:
    assert need(SWEEP, tmp_path) == Need(1, 1.0, 0.0)
    assert need(SWEEP, tmp_path, "cluster={}") == Need(None, 1.0, 0.0)
    own = "base.cluster={workers: 2, cpus_per_worker: 0.5}"
    assert need(SWEEP, tmp_path, "cluster.workers=3", own) == Need(6, 0.5, 0.0)
    assert need(SWEEP, tmp_path, "cluster={}", own) == Need(None, 0.5, 0.0)
