from __future__ import annotations

import os

import fsspec
import pytest

from trainwright.orchestration.reach import adopt, store_environment


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in store_environment():
        monkeypatch.delenv(name)


def test_only_what_means_the_same_elsewhere_travels(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_ENDPOINT_URL_S3",
        "AWS_PROFILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AZURE_STORAGE_ACCOUNT_NAME",
        "FSSPEC_CONFIG_DIR",
        "FSSPEC_S3_ENDPOINT_URL",
        "HOME",
    ):
        monkeypatch.setenv(name, "value")
    assert sorted(store_environment()) == [
        "AWS_ACCESS_KEY_ID",
        "AWS_ENDPOINT_URL_S3",
        "AZURE_STORAGE_ACCOUNT_NAME",
        "FSSPEC_S3_ENDPOINT_URL",
    ]


def test_the_drivers_keys_win_and_take_no_foreign_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "old")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "old token")
    monkeypatch.setenv("AWS_REGION", "here")
    adopt({"AWS_ACCESS_KEY_ID": "new", "AWS_SECRET_ACCESS_KEY": "secret"})
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
    assert os.environ["AWS_ACCESS_KEY_ID"] == "new"
    assert "AWS_SESSION_TOKEN" not in os.environ
    assert os.environ["AWS_REGION"] == "here"


def test_fsspec_reads_its_variables_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does so by itself only when it is imported."""
    monkeypatch.setitem(fsspec.config.conf, "memory", {})
    monkeypatch.setenv("FSSPEC_MEMORY_SOMETHING", "overwritten below")
    adopt({"FSSPEC_MEMORY_SOMETHING": "told by the driver"})
    assert fsspec.config.conf["memory"] == {"something": "told by the driver"}
