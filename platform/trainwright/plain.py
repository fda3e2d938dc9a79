"""Values in standard JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any


def plain_json(value: Any) -> Any:
    """``value`` in standard JSON: numbers that are not finite become ``nan``, ``inf``, ``-inf``."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain_json(item) for key, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        return [plain_json(item) for item in value]
    return value
