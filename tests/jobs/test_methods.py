"""Every comparison of methods: its form at once; with ``slow`` its claims and its placebo."""

from __future__ import annotations

from pathlib import Path

import pytest
from methods.bench import comparisons

import trainwright
from trainwright.job import Job

JOBS = sorted(comparisons().values())
HERE = ["cluster.workers=0", "tracking.enabled=false"]

each_job = pytest.mark.parametrize("file", JOBS, ids=lambda file: file.stem)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for both tests of a job: the placebo finds the baseline's runs there."""
    return tmp_path_factory.mktemp("methods")


@each_job
def test_form(file: Path) -> None:
    spec = Job.load(file).spec
    assert spec.kind == "compare"
    assert spec.name == file.stem.replace("_", "-")
    assert len(spec.seed_list) >= 5
    assert spec.expect
    assert any(name in line for line in spec.expect for name in spec.method_names)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@each_job
def test_expectations_hold(file: Path, storage: Path) -> None:
    result = trainwright.run(file, overrides=[*HERE, f"storage={storage}"])
    wrong = [judgement for judgement in result.expectations if not judgement.holds]
    assert wrong == []
    assert result.exit_status == 0


@pytest.mark.slow
@pytest.mark.timeout(1200)
@each_job
def test_a_placebo_is_noticed(file: Path, storage: Path) -> None:
    overrides = [*HERE, f"storage={storage}"]
    result = trainwright.run(file, overrides=overrides, placebo=True)
    assert result.status == "finished"
    assert not result.holds, "every expectation holds although the method is missing"
    assert result.exit_status == 0
