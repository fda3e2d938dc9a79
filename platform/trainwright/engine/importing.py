"""Importing DeepSpeed without the parts that it imports and we never call."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch


def import_deepspeed(device: torch.device) -> Any:
    """DeepSpeed, in 0.1 instead of 2.4 seconds of a processor, which every restart waits for.

    Its autotuner imports MLflow; its Muon optimizer has torch's compiler imported for three
    functions, which compute the same without. Torch's optimizers take back 0.9 of these seconds.
    """
    if device.type == "cpu":
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    if "deepspeed" in sys.modules:
        import deepspeed

        return deepspeed
    with _without("mlflow"), _uncompiled():
        import deepspeed

        with suppress(ImportError):  # versions without it
            importlib.import_module("deepspeed.runtime.zero.muon.muon_optimizer")
    if device.type == "cpu":
        import deepspeed.ops

        # Its shared-memory collective would be compiled on first use (half a minute, needs g++).
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    return deepspeed


@contextmanager
def _without(name: str) -> Iterator[None]:
    """Inside, a package that is not there yet cannot be imported."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]


@contextmanager
def _uncompiled() -> Iterator[None]:
    """Inside, ``torch.compile`` leaves functions as they are."""

    def leave(function: Callable[..., Any] | None = None, **options: Any) -> Any:
        return function if function is not None else lambda other: other

    compile_before = torch.compile
    torch.compile = leave  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.compile = compile_before
