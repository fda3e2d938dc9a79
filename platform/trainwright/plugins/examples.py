"""How a plugin stands in a job file, generated from its signature."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from trainwright.plugins.describe import describe
from trainwright.plugins.groups import Plugin, derived_options
from trainwright.plugins.signature import Parameter, Signature

_PLACES: dict[str, str] = {
    "objectives": "objective: {}",
    "strategies": "strategies:\n  - {}",
    "procedures": "kind: procedure\nprocedure: {}",
    "aggregators": "kind: federated\nfederation:\n  aggregator: {}",
    "partitioners": "kind: federated\nfederation:\n  partition: {}",
    "update_transforms": "kind: federated\nfederation:\n  update_transforms:\n    - {}",
    "models": "model: {}",
    "datasets": "data:\n  source: {}",
    "transforms": "data:\n  transforms:\n    - {}",
    "metrics": "metrics:\n  - {}",
    "optimizers": "optimizer: {}",
    "schedules": "schedule: {}",
}


def example(plugin: Plugin, signature: Signature) -> str:
    """The plugin in a job file with all its options, those from the data left out.

    A required option without an obvious value is shown as its type in angle brackets.
    """
    fields = [f"name: {plugin.name}"]
    for item in signature.parameters.values():
        if item.name in derived_options(plugin.group) or item.default is None:
            continue
        fields.append(f"{item.name}: {_value(item)}")
    short = len(fields) == 1
    return _PLACES[plugin.group].format(plugin.name if short else "{" + ", ".join(fields) + "}")


def _value(item: Parameter) -> str:
    if item.required:
        return f'"<{describe(item.annotation)}>"'
    return _yaml(item.default)


def _yaml(value: Any) -> str:
    """A value in YAML's flow form. An exponent gets a point: YAML reads ``1e-3`` as text."""
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_yaml(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_yaml(item)}" for key, item in value.items()) + "}"
    if value is None or isinstance(value, (bool, int)):
        return json.dumps(value)
    text = str(value)
    return text if text.replace("_", "").replace(" ", "").isalnum() else json.dumps(text)


def _number(value: float) -> str:
    if not math.isfinite(value):
        return {"inf": ".inf", "-inf": "-.inf"}.get(repr(value), ".nan")
    mantissa, exponent, power = repr(value).partition("e")
    if exponent and "." not in mantissa:
        mantissa += ".0"
    return mantissa + exponent + power
