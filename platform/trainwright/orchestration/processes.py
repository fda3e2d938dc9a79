"""The processes that train: their environment, and how they treat memory."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Mapping

LARGEST_REUSED = 1 << 30
"""Bytes: larger pieces of memory go back to the system as soon as they are free."""

TUNABLES = (
    "glibc.malloc.arena_max=1"
    f":glibc.malloc.mmap_threshold={LARGEST_REUSED}:glibc.malloc.trim_threshold={1 << 40}"
)

_ARENA_MAX, _MMAP_THRESHOLD, _TRIM_THRESHOLD = -8, -3, -1
_NEVER = 2**31 - 1


def worker_environment(cpus: float, uses_gpu: bool) -> dict[str, str]:
    """Environment of a process that is started to train.

    Args:
        cpus: its share of the machine; PyTorch computes with as many threads, at least one, unless
            OMP_NUM_THREADS says otherwise here.
        uses_gpu: whether it has a GPU; DeepSpeed is told if it has none.
    """
    threads = os.environ.get("OMP_NUM_THREADS", str(max(1, int(cpus))))
    environment = {"OMP_NUM_THREADS": threads}
    if not uses_gpu:
        environment["DS_ACCELERATOR"] = "cpu"
    if not _decided_by_user(os.environ):
        environment["GLIBC_TUNABLES"] = TUNABLES
    return environment


def reuse_memory() -> None:
    """Let this process keep what a training step frees, for the next one.

    glibc gives large pieces back to the system and has them zeroed anew in every step, which takes
    a small convolutional network a third of its time (``jobs/benchmarks``, memory). The peak stays
    as it is. Nothing is done where another allocator is in use or the environment says how this
    one shall work.
    """
    if not sys.platform.startswith("linux") or _decided_by_user(os.environ):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    for parameter, value in (
        (_ARENA_MAX, 1),
        (_MMAP_THRESHOLD, LARGEST_REUSED),
        (_TRIM_THRESHOLD, _NEVER),
    ):
        mallopt(parameter, value)


def _decided_by_user(environment: Mapping[str, str]) -> bool:
    return any(
        name in ("GLIBC_TUNABLES", "LD_PRELOAD") or name.startswith("MALLOC_")
        for name in environment
    )
