"""Seeds: every random number of training is a function of (seed, purpose, update, worker)."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from trainwright.data.random import key


def seed_all(*parts: int | str) -> int:
    """Seed torch (all devices), numpy and random from ``parts``; their key.

    Called before each update with (seed, "update", index, rank), so that no generator state has
    to be saved: a resumed run draws what an undisturbed one would have drawn.
    """
    made = key(*parts)
    number = made & (2**63 - 1)
    # torch.manual_seed looks for every kind of device each time, which costs more than an update
    # of a small model; the generators themselves are seeded in a microsecond.
    torch.default_generator.manual_seed(number)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(number)
    np.random.seed(number & (2**32 - 1))
    random.seed(number)
    return made


@contextmanager
def same_draws(device: torch.device) -> Iterator[None]:
    """What is drawn inside is drawn again after it: the generators are put back.

    Args:
        device: whose generator is kept besides the CPU's.
    """
    own = torch.default_generator.get_state()
    on_device = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    others = np.random.get_state(), random.getstate()
    try:
        yield
    finally:
        torch.default_generator.set_state(own)
        if on_device is not None:
            torch.cuda.set_rng_state(on_device, device)
        np.random.set_state(others[0])
        random.setstate(others[1])


def random_state(device: torch.device) -> tuple[Tensor, Tensor | None]:
    """The states of torch's generators on the CPU and on ``device``."""
    on_gpu = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return torch.get_rng_state(), on_gpu


def set_random_state(state: tuple[Tensor, Tensor | None], device: torch.device) -> None:
    """Go back to a ``random_state``."""
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state(state[1], device)


@contextmanager
def deterministic_kernels(wanted: bool) -> Iterator[None]:
    """Inside, allow only deterministic kernels: an operation without one raises RuntimeError.

    Args:
        wanted: False changes nothing.
    """
    if not wanted:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    benchmark = torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.backends.cudnn.benchmark = benchmark
