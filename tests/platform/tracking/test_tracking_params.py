"""Parameters, names and tags as MLflow takes them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_metric_name, _validate_param

from trainwright.tracking.origin import git_tags, origin_tags
from trainwright.tracking.params import MAX_PARAMS, flatten, safe_name


def test_nested_values_get_dotted_paths() -> None:
    job = {
        "name": "a",
        "training": {"epochs": 3, "max_grad_norm": None, "deterministic": False},
        "strategies": [{"name": "x", "n": 1}, {"name": "y"}],
        "shape": [1, 2],
        "nothing": {},
        "empty": [],
    }
    assert flatten(job) == {
        "name": "a",
        "training.epochs": "3",
        "training.max_grad_norm": "null",
        "training.deterministic": "false",
        "strategies.0.name": "x",
        "strategies.0.n": "1",
        "strategies.1.name": "y",
        "shape": "[1, 2]",
        "nothing": "{}",
        "empty": "[]",
    }


def test_limits_are_kept() -> None:
    flat = flatten({f"k{i}": "v" * 7000 for i in range(MAX_PARAMS + 10)})
    assert len(flat) == MAX_PARAMS
    assert {len(value) for value in flat.values()} == {6000}


@given(st.text(max_size=400))
def test_every_name_becomes_one_that_mlflow_takes(name: str) -> None:
    safe = safe_name(name)
    _validate_metric_name(safe)
    _validate_param(safe, "1")
    assert safe_name(safe) == safe


def test_usual_names_stay_as_they_are() -> None:
    for name in ("train/loss", "validation/top-5 accuracy", "a.b:c_d"):
        assert safe_name(name) == name


def test_git_state_is_read_from_the_directory(tmp_path: Path) -> None:
    assert git_tags(tmp_path) == {}

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e@x"]
        done = subprocess.run([*command, *arguments], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "-q", "-b", "main")
    (tmp_path / "a.txt").write_text("1")
    git("add", "a.txt")
    git("commit", "-q", "-m", "first")
    git("remote", "add", "origin", "https://user:token@host/repo.git")
    tags = git_tags(tmp_path)
    assert tags == {
        "mlflow.source.git.commit": git("rev-parse", "HEAD"),
        "mlflow.source.git.branch": "main",
        "mlflow.source.git.repoURL": "https://host/repo.git",
        "trainwright.git.dirty": "false",
    }
    (tmp_path / "a.txt").write_text("2")
    assert git_tags(tmp_path)["trainwright.git.dirty"] == "true"


def test_the_origin_names_host_and_versions(tmp_path: Path) -> None:
    tags = origin_tags(tmp_path)
    for name in ("trainwright", "torch", "ray", "mlflow", "python"):
        assert tags[f"trainwright.version.{name}"]
    assert tags["trainwright.host"]
    assert tags["mlflow.user"]
