"""Groups of worker processes that do what the benchmark asks for, and wait meanwhile."""

from __future__ import annotations

import multiprocessing as mp
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from common.children import environment_of
from common.processes import ALIKE

from scaling.cases import Case
from trainwright.orchestration.processes import worker_environment

END_S = 60


class Group:
    """So many workers in a process group of their own.

    Args:
        workers: how many.
        folder: of this group alone.

    Raises:
        RuntimeError: one of them failed.
    """

    def __init__(self, workers: int, folder: Path) -> None:
        self.workers = workers
        context = mp.get_context("spawn")
        folder.mkdir()
        self._lines: list[Connection] = []
        self._processes = []
        with environment_of({**worker_environment(1, uses_gpu=False), **ALIKE}):
            for rank in range(workers):
                line, end = context.Pipe()
                process = context.Process(target=serve, args=(end, rank, workers, folder))
                process.start()
                end.close()
                self._lines.append(line)
                self._processes.append(process)
        self.ask("begin")

    def ask(self, what: str, *arguments: Any) -> Any:
        """Have all workers do something; the answer of worker 0.

        Raises:
            RuntimeError: one of them failed, or is no more.
        """
        for line in self._lines:
            with suppress(BrokenPipeError):  # reading from it tells
                line.send((what, *arguments))
        answers: dict[int, Any] = {}
        while len(answers) < self.workers:
            left = [line for rank, line in enumerate(self._lines) if rank not in answers]
            for line in wait(left):
                rank = self._lines.index(line)
                answers[rank] = self._answer(rank)
        return answers[0]

    def _answer(self, rank: int) -> Any:
        try:
            answer = self._lines[rank].recv()
        except EOFError:
            self._processes[rank].join(END_S)
            status = self._processes[rank].exitcode
            for process in self._processes:  # they would wait for it
                process.kill()
            raise RuntimeError(
                f"worker {rank} of {self.workers} ended with status {status}"
                f"{': was there too little memory?' if status == -9 else ''}"
            ) from None
        if isinstance(answer, Exception):
            raise RuntimeError(f"a worker of {self.workers} failed") from answer
        return answer

    def close(self) -> None:
        """End the processes."""
        for line in self._lines:
            line.close()
        for process in self._processes:
            process.join(END_S)
            process.kill()


@contextmanager
def groups_of(numbers: list[int], folder: Path) -> Iterator[dict[int, Group]]:
    """A group for each number of workers."""
    groups: dict[int, Group] = {}
    try:
        for workers in numbers:
            groups[workers] = Group(workers, folder / str(workers))
        yield groups
    finally:
        for group in groups.values():
            group.close()


def serve(line: Connection, rank: int, workers: int, folder: Path) -> None:
    """One worker: do what comes, until the line is closed."""
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(workers))
    place = f"file://{folder}/rendezvous"
    dist.init_process_group("gloo", rank=rank, world_size=workers, init_method=place)
    deeds = Deeds(folder)
    while True:
        try:
            what, *arguments = line.recv()
        except EOFError:
            return
        try:
            line.send(getattr(deeds, what)(*arguments))
        except Exception as error:  # told to the benchmark, which ends
            line.send(RuntimeError(f"worker {rank}, {what}: {error!r}"))


class Deeds:
    """What a worker can be asked for; all workers of a group are asked the same."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[Case, Any] = {}

    def begin(self) -> None:
        """Be there."""

    def open(self, case: Case) -> None:
        """Build both sides of a case."""
        from scaling.sides import Both

        self._open[case] = Both(case, self._folder)

    def turn(self, case: Case, side: str) -> float:
        """Seconds per update of one turn, until all workers have done theirs."""
        import torch.distributed as dist

        turn = getattr(self._open[case], side)
        dist.barrier()
        began = time.perf_counter()
        turn()
        dist.barrier()
        return (time.perf_counter() - began) / case.training.block

    def close(self, case: Case) -> float:
        """Let go of a case; the largest difference of losses."""
        return float(self._open.pop(case).close())

    def steps(self, model: str, count: int) -> dict[str, list[float]]:
        """Seconds of the parts of an update in plain PyTorch."""
        from scaling.links import timed_steps

        return timed_steps(model, count, self._folder)

    def links(self, sizes: list[int], repeats: int) -> dict[str, list[list[float]]]:
        """Seconds of each collective with each size in bytes."""
        from scaling.links import timed_collectives

        return timed_collectives(sizes, repeats)
