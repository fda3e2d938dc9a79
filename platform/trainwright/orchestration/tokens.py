"""Joining a Ray cluster that asks for a token: from the environment, never from a job."""

from __future__ import annotations

import os
import socket
from pathlib import Path

MEND = (
    "if it asks for a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH "
    "with the name of a file that holds it"
)


def set_mode(address: str) -> None:
    """Say whether Ray uses a token, where the user does not: left alone it writes one itself."""
    os.environ.setdefault(
        "RAY_AUTH_MODE", "token" if address != "local" and _has_token() else "disabled"
    )


def refusal(address: str, error: Exception) -> str:
    """Why a cluster could not be joined, and what to do."""
    cause = str(error).split(". ")[0]
    if type(error).__name__ == "AuthenticationError":
        return f"the Ray cluster at cluster.address: {address} needs a token ({cause}); {MEND}"
    if _answers(address):
        token = "with a token" if os.environ.get("RAY_AUTH_MODE") == "token" else "without a token"
        return (
            f"the Ray cluster at cluster.address: {address} answers, but does not let this process "
            f"in, which came {token} ({cause}); the token is missing or wrong, or Ray has another "
            f"version there; {MEND}"
        )
    return (
        f"no Ray cluster at cluster.address: {address} ({cause}); "
        "start one with `ray start --head`, or use address: local"
    )


def _has_token() -> bool:
    named = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    return named or Path("~/.ray/auth_token").expanduser().exists()


def _answers(address: str) -> bool:
    """Whether anything listens there."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=5):
            return True
    except (OSError, ValueError):
        return False
