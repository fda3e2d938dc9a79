"""What ``trainwright new`` writes works as it stands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import trainwright
from trainwright.errors import InputError
from trainwright.scaffold import KINDS, start


@pytest.mark.parametrize("kind", KINDS)
def test_its_tests_pass_and_its_comparison_is_valid(kind: str, tmp_path: Path) -> None:
    started = start(kind, "my_method", tmp_path / "deep" / "folder")
    assert started.class_name == "MyMethod"
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", started.test.name],
        cwd=started.test.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert tests.returncode == 0, tests.stdout + tests.stderr
    assert "passed" in tests.stdout
    checked = trainwright.validate(started.job)
    assert "2 variants x 5 seeds" in checked.summary[0]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_its_comparison_holds_and_notices_a_placebo(kind: str, tmp_path: Path) -> None:
    started = start(kind, "my_method", tmp_path)
    for arguments in ((), ("--placebo",)):
        ran = subprocess.run(
            [sys.executable, "-m", "trainwright", "run", started.job.name, *arguments],
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr


def refusal(kind: str, name: str, folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        start(kind, name, folder)
    return str(caught.value)


def test_what_exists_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text("mine")
    assert "test_mine.py would be overwritten" in refusal("objective", "mine", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["test_mine.py"]


@pytest.mark.parametrize("name", ["Focal", "focal-loss", "1st", "class", "a__b", "../x", ""])
def test_ill_names(name: str, tmp_path: Path) -> None:
    assert "is no name for a file" in refusal("strategy", name, tmp_path)


def test_names_of_the_catalogue_are_taken(tmp_path: Path) -> None:
    assert "trainwright show z_loss" in refusal("objective", "z_loss", tmp_path)
    start("strategy", "z_loss", tmp_path)


def test_an_unknown_kind_names_the_nearest(tmp_path: Path) -> None:
    assert "strategy" in refusal("stratgy", "mine", tmp_path)
