"""Joining a Ray cluster that asks for a token: from the environment, never from a job."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from trainwright.errors import InputError, Problem

_DEFAULT = "~/.ray/auth_token"

MEND = (
    "if it asks for a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH "
    "with the name of a file that holds it"
)


def set_mode(address: str) -> None:
    """Say whether Ray uses a token, where the user does not: left alone it writes one itself."""
    os.environ.setdefault(
        "RAY_AUTH_MODE", "token" if address != "local" and _has_token() else "disabled"
    )


def find_token() -> str | None:
    """The token that Ray sends, found where Ray looks for it; None where there is none to send.

    Raises:
        InputError: ``RAY_AUTH_TOKEN_PATH`` names no file that can be read.
    """
    if os.environ.get("RAY_AUTH_MODE", "").lower() == "disabled":
        return None
    if token := os.environ.get("RAY_AUTH_TOKEN"):
        return token
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    try:
        return Path(named or _DEFAULT).expanduser().read_bytes().decode("latin-1").strip() or None
    except OSError as error:
        if not named:
            return None
        raise InputError(
            Problem(
                "RAY_AUTH_TOKEN_PATH",
                f"no token can be read there: {error.strerror}",
                named,
                mend="name a file that holds it, or set RAY_AUTH_TOKEN",
            )
        ) from error


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
    return named or Path(_DEFAULT).expanduser().exists()


def _answers(address: str) -> bool:
    """Whether anything listens there."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=5):
            return True
    except (OSError, ValueError):
        return False
