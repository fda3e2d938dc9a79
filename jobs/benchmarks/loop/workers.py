"""Worker processes of the loop benchmark, forked from one that has imported everything."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("DS_ACCELERATOR", "cpu")

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from common.children import IMPORTS, environment_of

from trainwright.orchestration.processes import worker_environment

_METHOD = "forkserver"


def in_workers(function: Callable[..., Any], workers: int, *arguments: Any) -> Any:
    """What ``function(folder, *arguments)`` returns on worker 0, in fresh processes of one group.

    Args:
        function: of a module; called on every worker with a folder in memory.
        workers: number of processes.
        arguments: further ones, which can be pickled.
    """
    memory = Path("/dev/shm")
    multiprocessing.set_forkserver_preload(["loop.sides"])
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        answer = mp.get_context(_METHOD).SimpleQueue()
        with environment_of({**worker_environment(1, uses_gpu=False), **IMPORTS}):
            mp.start_processes(
                _worker,
                (workers, folder, answer, function, arguments),
                nprocs=workers,
                start_method=_METHOD,
            )
        return answer.get()


def _worker(
    rank: int,
    workers: int,
    folder: str,
    answer: Any,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(workers))
    rendezvous = f"file://{folder}/rendezvous"
    dist.init_process_group("gloo", rank=rank, world_size=workers, init_method=rendezvous)
    result = function(Path(folder), *arguments)
    if rank == 0:
        answer.put(result)
    dist.destroy_process_group()
