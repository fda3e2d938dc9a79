"""Short forms: ``objective: z_loss`` stands for ``objective: {name: z_loss}``."""

from __future__ import annotations

import re
from typing import Any

# A job may hold another one as its base, and changes to it.
_PREFIX = r"((base|variants\.[^.]+)\.)?"
_PLUGIN = re.compile(
    _PREFIX + r"(model|objective(\.\d+)?|strategies\.\d+|metrics\.\d+|optimizer|schedule"
    r"|data\.transforms\.\d+|data\.((validation|test)\.)?source|procedure"
    r"|federation\.(partition|aggregator|update_transforms\.\d+))"
)
_FRACTION = re.compile(_PREFIX + r"data\.(validation|test)")
_SWITCH = re.compile(_PREFIX + r"(data\.(sources\.[^.]+\.)?streaming|training\.compile)")
_MONITOR = re.compile(_PREFIX + r"training\.monitor")


def is_plugin(path: str) -> bool:
    """Whether a plugin stands at the dotted path of a job."""
    return _PLUGIN.fullmatch(path) is not None


def short_key(path: str, value: Any) -> str | None:
    """The key that ``value`` is short for at ``path``; None where no short form exists."""
    if isinstance(value, str):
        if is_plugin(path):
            return "name"
        return "metric" if _MONITOR.fullmatch(path) else None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return "fraction" if _FRACTION.fullmatch(path) else None
    return None


def written_out(path: str, value: Any) -> Any:
    """``value`` as a mapping if it is a short form at ``path``, otherwise as it is."""
    if value is True and _SWITCH.fullmatch(path):
        return {}
    key = short_key(path, value)
    return value if key is None else {key: value}
