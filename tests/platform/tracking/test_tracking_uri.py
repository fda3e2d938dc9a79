"""Which tracking URIs are taken, and what is said about the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainwright.storage import Folder
from trainwright.tracking import check_uri, default_uri
from trainwright.tracking.uri import absolute_uri, fingerprint, without_user


@pytest.mark.parametrize(
    "uri",
    [
        "sqlite:///mlflow.db",
        "sqlite:////var/mlflow.db",
        "http://127.0.0.1:5000",
        "https://user:secret@mlflow.example.org/path",
        "postgresql+psycopg2://user:secret@host/db",
        "mysql+pymysql://host/db",
        "databricks",
        "databricks://profile",
    ],
)
def test_usable_uris_have_no_problem(uri: str) -> None:
    assert check_uri(uri) == []


@pytest.mark.parametrize("uri", ["file:///data/mlruns", "/data/mlruns", "file:/data/mlruns"])
def test_file_stores_are_explained(uri: str) -> None:
    (problem,) = check_uri(uri)
    assert problem.path == "tracking.uri"
    assert "maintenance mode" in problem.message
    assert problem.mend == "write sqlite:////data/mlflow.db"


def test_relative_and_windows_paths_are_file_stores() -> None:
    assert "maintenance mode" in check_uri("mlruns")[0].message
    assert "maintenance mode" in check_uri("./mlruns")[0].message
    assert "maintenance mode" in check_uri("C:/mlruns")[0].message


def test_misspelt_schemes_name_the_nearest() -> None:
    assert check_uri("sqllite:///mlflow.db")[0].nearest == "sqlite"
    assert check_uri("htp://host:5000")[0].nearest == "http"


def test_incomplete_uris_are_refused() -> None:
    assert "three slashes" in check_uri("sqlite://mlflow.db")[0].message
    assert "no host" in check_uri("http:///path")[0].message


def test_a_password_is_never_shown() -> None:
    (problem,) = check_uri("ftp://user:secret@host/x")
    assert "secret" not in str(problem)


def test_the_default_lies_beside_local_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert default_uri(Folder(str(tmp_path / "runs"))) == f"sqlite:///{tmp_path}/runs/mlflow.db"
    assert default_uri(Folder("runs")) == f"sqlite:///{tmp_path}/runs/mlflow.db"
    assert default_uri(Folder("memory://bucket/runs")) == f"sqlite:///{tmp_path}/mlflow.db"
    assert check_uri(default_uri(Folder("runs"))) == []
    assert absolute_uri("sqlite:///a.db") == f"sqlite:///{tmp_path}/a.db"
    assert absolute_uri("sqlite:////a.db") == "sqlite:////a.db"
    assert absolute_uri("http://host") == "http://host"


def test_fingerprints_tell_passwords_apart() -> None:
    assert fingerprint("http://u:a@h") != fingerprint("http://u:b@h")


def test_users_are_taken_out_of_urls() -> None:
    assert without_user("https://user:token@host/repo.git") == "https://host/repo.git"
    assert without_user("git@host:owner/repo.git") == "git@host:owner/repo.git"
