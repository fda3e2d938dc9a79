"""Passwords, tokens and keys: needed to connect, never stored or shown."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel

STARS = "***"

_PASSWORD = re.compile(r"(://[^/@\s:]*):[^/@\s]+@")
_WORDS = "sig|signature|token|password|passwd|secret|credential|api[_-]?key|access[_-]?key"
_QUERY = re.compile(rf"([?&](?:[\w.-]*[_-])?(?:{_WORDS})=)[^&\s'\"]+", re.IGNORECASE)
_NAME = re.compile(
    r"TOKEN|PASSWORD|PASSWD|SECRET|CREDENTIAL|SIGNATURE|(API|ACCESS|ACCOUNT|PRIVATE)_KEY",
    re.IGNORECASE,
)
_NO_SECRET = ("_ID", "_PATH", "_FILE", "_DIR", "_MODE", "_URI", "_URL")
_SHORTEST = 8

_concealed: set[str] = set()


def mask(text: str) -> str:
    """The text with stars for what is secret in it.

    That is the password of a URL, what a signed URL adds (``?sig=``, ``&X-Amz-Signature=``), and
    the values of environment variables that are called so (``..._TOKEN``, ``..._PASSWORD``).
    """
    return _without(text, _hidden())


def _without(text: str, hidden: list[str]) -> str:
    text = _QUERY.sub(rf"\1{STARS}", _PASSWORD.sub(rf"\1:{STARS}@", text))
    for value in hidden:
        if value in text:
            text = text.replace(value, STARS)
    return text


def _hidden() -> list[str]:
    """What is secret, the longest first: one value may be the beginning of another."""
    return sorted({*_concealed, *_of_environment()}, key=lambda value: (-len(value), value))


def secrets_in(text: str) -> tuple[str, ...]:
    """The values of secret environment variables that a text holds."""
    return tuple(value for value in _of_environment() if value in text)


def secret_variables_in(text: str) -> tuple[str, ...]:
    """The names of the secret environment variables whose values a text holds."""
    return tuple(name for name, value in _secret_variables().items() if value in text)


def conceal(*values: str) -> None:
    """Mask these values from now on, where they are not in the environment of the process."""
    _concealed.update(values)


def is_secret_name(name: str) -> bool:
    """Whether an environment variable is called like one that holds a secret.

    Example:
        >>> is_secret_name("MLFLOW_TRACKING_TOKEN"), is_secret_name("MLFLOW_TRACKING_URI")
        (True, False)
    """
    return bool(_NAME.search(name)) and not name.endswith(_NO_SECRET)


def _of_environment() -> list[str]:
    return list(_secret_variables().values())


def _secret_variables() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if len(value) >= _SHORTEST and is_secret_name(name)
    }


def public_values(job: BaseModel) -> dict[str, Any]:
    """The resolved job as JSON values that may be stored: what is secret in it becomes stars."""
    hidden = _hidden()

    def masked(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: masked(item) for key, item in value.items()}
        if isinstance(value, list):
            return [masked(item) for item in value]
        return _without(value, hidden) if isinstance(value, str) else value

    values: dict[str, Any] = masked(job.model_dump(mode="json", by_alias=True))
    return values
