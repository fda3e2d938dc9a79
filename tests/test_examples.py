"""What the examples in docstrings claim."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted(
    ".".join(file.relative_to(ROOT / top).with_suffix("").parts).removesuffix(".__init__")
    for top in ("platform", "objectives", "strategies")
    for file in (ROOT / top).rglob("*.py")
    if ">>> " in file.read_text()
)


@pytest.mark.parametrize("module", MODULES)
def test_examples_hold(module: str) -> None:
    assert doctest.testmod(importlib.import_module(module)).failed == 0
