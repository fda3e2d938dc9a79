"""Passwords in URLs: needed to connect, never stored or shown."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel


def mask(text: str) -> str:
    """The text with the password of every URL in it replaced by stars."""
    return re.sub(r"(://[^/@\s:]*):[^/@\s]+@", r"\1:***@", text)


def public_values(job: BaseModel) -> dict[str, Any]:
    """The resolved job as JSON values that may be stored: passwords in URLs become stars."""

    def masked(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: masked(item) for key, item in value.items()}
        if isinstance(value, list):
            return [masked(item) for item in value]
        return mask(value) if isinstance(value, str) else value

    values: dict[str, Any] = masked(job.model_dump(mode="json", by_alias=True))
    return values
