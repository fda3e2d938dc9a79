"""Jobs that ask for a compiled model: right ones, and some that break a rule."""

from __future__ import annotations

from typing import Any

STAGE_3 = {"zero_optimization": {"stage": 3}}
RIGHT: list[dict[str, Any]] = [
    {"training": {"compile": True}, "deepspeed": {"zero_optimization": {"stage": 2}}},
    {"training": {"compile": {"backend": "ts", "dynamic": False}}},
    {"training": {"compile": False}, "engine": "deepspeed", "deepspeed": STAGE_3},
]
BROKEN: list[tuple[str, dict[str, Any], str]] = [
    (
        "compiled_at_low_stages",
        {"training": {"compile": True}, "engine": "deepspeed", "deepspeed": STAGE_3},
        "training.compile",
    ),
    (
        "backend_compiles",
        {"training": {"compile": {"backend": "inducto"}}},
        "training.compile.backend",
    ),
    (
        "backend_compiles",
        {"training": {"compile": {"backend": "eager", "mode": "max-autotune"}}},
        "training.compile.mode",
    ),
]
