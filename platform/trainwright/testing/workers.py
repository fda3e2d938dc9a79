"""Worker processes that share one gloo process group over many calls."""

from __future__ import annotations

import os
import queue
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import torch.multiprocessing as mp


class Workers:
    """``size`` processes in one group; ``run`` calls a function on all of them at once.

    Starting a process and importing torch and DeepSpeed takes seconds, a call milliseconds: share
    one group among as many tests as possible.

    Args:
        size: number of processes.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        context = mp.get_context("spawn")
        self._inboxes = [context.Queue() for _ in range(size)]
        self._outbox = context.Queue()
        self._folder = tempfile.TemporaryDirectory(prefix="gloo-")
        rendezvous = str(Path(self._folder.name) / "store")
        self._processes = [
            context.Process(
                target=_serve,
                args=(rank, size, rendezvous, inbox, self._outbox),
                daemon=True,
            )
            for rank, inbox in enumerate(self._inboxes)
        ]
        for process in self._processes:
            process.start()

    def run(
        self, function: Callable[..., Any], *arguments: Any, timeout_s: float = 120
    ) -> list[Any]:
        """``function(*arguments)`` on every worker; the results by rank.

        The module of ``function`` travels with it, unless it is Trainwright's own: test modules
        cannot be imported by name.

        Raises:
            AssertionError: it failed on a worker; with the worker's traceback.
            TimeoutError: not all workers answered in time.
        """
        call = _packed(function, arguments)
        for inbox in self._inboxes:
            inbox.put(call)
        results: dict[int, Any] = {}
        failures: list[str] = []
        while len(results) < self.size:
            try:
                # After a failure the others may wait for that worker for ever.
                rank, good, value = self._outbox.get(timeout=10 if failures else timeout_s)
            except queue.Empty:
                if failures:
                    break
                raise TimeoutError(f"only ranks {sorted(results)} answered") from None
            results[rank] = value
            if not good:
                failures.append(f"worker {rank} failed:\n{value}")
        if failures:
            raise AssertionError("\n".join(failures))
        return [results[rank] for rank in range(self.size)]

    def close(self) -> None:
        """End the processes."""
        for inbox in self._inboxes:
            inbox.put(None)
        for process in self._processes:
            process.join(timeout=10)
            if process.is_alive():
                process.kill()
        self._folder.cleanup()


def _packed(function: Callable[..., Any], arguments: tuple[Any, ...]) -> bytes:
    module = sys.modules[function.__module__]
    if function.__module__.partition(".")[0] == __name__.partition(".")[0]:
        return bytes(cloudpickle.dumps((function, arguments)))
    cloudpickle.register_pickle_by_value(module)
    try:
        return bytes(cloudpickle.dumps((function, arguments)))
    finally:
        cloudpickle.unregister_pickle_by_value(module)


def _serve(rank: int, size: int, rendezvous: str, inbox: Any, outbox: Any) -> None:
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(size), DS_ACCELERATOR="cpu"
    )
    dist.init_process_group("gloo", rank=rank, world_size=size, init_method=f"file://{rendezvous}")
    while (call := inbox.get()) is not None:
        try:
            function, arguments = cloudpickle.loads(call)
            outbox.put((rank, True, function(*arguments)))
        except BaseException:
            outbox.put((rank, False, traceback.format_exc()))
    dist.destroy_process_group()
