"""What is said where a Ray cluster does not let us in."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from trainwright.orchestration.tokens import refusal, set_mode


@pytest.fixture(autouse=True)
def _no_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.mark.parametrize("name", ["RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"])
def test_a_token_in_the_environment_is_used(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "x")
    set_mode("host:1")
    assert os.environ["RAY_AUTH_MODE"] == "token"


@pytest.mark.parametrize("address", ["local", "auto", "host:1"])
def test_without_a_token_ray_makes_none(address: str) -> None:
    set_mode(address)
    assert os.environ["RAY_AUTH_MODE"] == "disabled"


def test_what_the_user_says_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    set_mode("local")
    assert os.environ["RAY_AUTH_MODE"] == "token"


def test_a_cluster_that_is_there_and_one_that_is_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        told = refusal(address, ConnectionError("Failed to connect. More"))
        assert "does not let this process in, which came without a token" in told
        assert "RAY_AUTH_TOKEN" in told
    told = refusal(address, ConnectionError("Failed to connect"))
    assert told.startswith(f"no Ray cluster at cluster.address: {address} (Failed to connect)")
    assert "ray start --head" in told
    assert "ray start" in refusal("auto", ConnectionError("none"))
