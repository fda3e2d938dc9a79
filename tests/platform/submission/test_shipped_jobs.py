"""Every job in ``jobs/`` packs for a cluster with an object store, or says in one line why not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packed_jobs import unchecked

from trainwright.errors import InputError
from trainwright.job import Job
from trainwright.submission.packing import pack
from trainwright.submission.parcel import JOB
from trainwright.submission.site import Site

ROOT = Path(__file__).parents[3]
STORE = Site(storage="s3://bucket/runs", tracking="http://mlflow", mounts=(), secrets=frozenset())
WITH_FILES = {"jobs/gpt.yaml": "data.source.files"} | dict.fromkeys(
    ("jobs/nas/ranking.yaml", "jobs/nas/ranking_digits.yaml"), "base.strategies.1.truth"
)
"""Jobs that read a file beside them -> where they name it."""

JOBS = sorted(str(file.relative_to(ROOT)) for file in (ROOT / "jobs").rglob("*.yaml"))
FEW = (
    "jobs/federation.yaml",
    "jobs/methods/bilevel_svm.yaml",
    "jobs/methods/z_loss.yaml",
    "jobs/nas/search.yaml",
    "jobs/quickstart.yaml",
    "jobs/sweeps/mutransfer.yaml",
    "jobs/sweeps/pbt.yaml",
    *WITH_FILES,
)


def test_there_are_jobs() -> None:
    assert set(FEW) <= set(JOBS)


@pytest.mark.parametrize("name", FEW)
def test_a_shipped_job(name: str) -> None:
    with unchecked():
        _packs(name)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", JOBS)
def test_every_shipped_job_with_its_data(name: str) -> None:
    _packs(name)


def _packs(name: str) -> None:
    file = ROOT / name
    if name in WITH_FILES:
        with pytest.raises(InputError) as caught:
            pack(file, [], STORE)
        first = caught.value.problems[0]
        assert first.path == WITH_FILES[name]
        assert first.message == "is a path of this machine, which the cluster does not see"
        return
    parcel = pack(file, [], STORE)
    job = Job.load(file)
    assert parcel.name == job.spec.name
    assert parcel.storage == "s3://bucket/runs"
    assert parcel.kind == job.spec.kind
    is_merged = re.search(r"^\s*extends:|^base: \S+\.yaml", file.read_text(), re.MULTILINE)
    assert (parcel.files[JOB] == file.read_bytes()) == (is_merged is None)
    assert parcel.need.workers is None or parcel.need.workers >= 0
