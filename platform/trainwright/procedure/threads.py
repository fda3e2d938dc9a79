"""How many threads a procedure's numerics use in this process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def threads_of(cpus: float) -> Iterator[None]:
    """Inside, torch and numpy use as many threads as a Ray worker with so many CPUs would.

    Where both use all cores, the threads of each wait in a busy loop while the other works, and
    code that goes back and forth between them on small matrices takes tens of times longer.

    Args:
        cpus: reserved; the environment variable OMP_NUM_THREADS wins over it.
    """
    import scipy.linalg  # noqa: F401 - only libraries that are loaded can be limited
    from threadpoolctl import threadpool_limits

    wish = os.environ.get("OMP_NUM_THREADS", "")
    number = int(wish) if wish.isdecimal() and int(wish) > 0 else max(1, int(cpus))
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        with threadpool_limits(limits=number):
            yield
    finally:
        torch.set_num_threads(before)
