"""What can go wrong, done to a running job."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import psutil

from chaos.scene import Scene


@dataclass(frozen=True)
class Fault:
    """One kind of fault.

    Attributes:
        name: in the table.
        strike: does it, and what a person would do after it, such as starting the server again;
            the command is given again by who calls it.
        again: whether it ends the command.
        checkpoints: how many checkpoints' worth of updates may be lost: none where nothing that
            trains is touched; two where the newest one may have been in the making.
    """

    name: str
    strike: Callable[[Scene], None]
    again: bool = False
    checkpoints: int = 0


def kill_worker(scene: Scene) -> None:
    """SIGKILL, as the kernel does when memory runs out."""
    scene.rng.choice(scene.workers()).kill()


def kill_all_workers(scene: Scene) -> None:
    """SIGKILL to every worker at once."""
    for worker in scene.workers():
        worker.kill()


def stop_worker(scene: Scene) -> None:
    """SIGSTOP for longer than a worker may be silent."""
    worker = scene.rng.choice(scene.workers())
    reached = scene.step
    worker.suspend()
    try:
        scene.until(lambda: scene.step > reached + 1 or scene.exit_status() is not None, "others")
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            worker.kill()


def kill_node(scene: Scene) -> None:
    """A machine with a worker loses power; another one comes after a while."""
    victims = [scene.nodes.index_of(worker.pid) for worker in scene.workers()]
    found = [index for index in victims if index is not None]
    if not found:
        raise RuntimeError("no node has a worker")
    scene.nodes.kill(scene.rng.choice(found))
    time.sleep(scene.rng.uniform(0, 5))
    scene.nodes.add()


def kill_driver(scene: Scene) -> None:
    """SIGKILL to the command."""
    scene.driver.kill()
    scene.driver.wait()


def terminate_driver(scene: Scene) -> None:
    """SIGTERM to the command, which has its time to write a checkpoint."""
    scene.driver.terminate()
    status = scene.driver.wait(120)
    if status != 130:
        raise RuntimeError(f"the command ended with {status} after SIGTERM:\n{scene.log_end()}")


def pause_driver(scene: Scene) -> None:
    """The command stands still for some seconds."""
    scene.driver.suspend()
    try:
        time.sleep(scene.rng.uniform(2, 6))
    finally:
        scene.driver.resume()


def kill_mlflow(scene: Scene) -> None:
    """SIGKILL to the tracking server, which is started again."""
    scene.mlflow.kill()
    time.sleep(scene.rng.uniform(0, 5))
    scene.mlflow.start()


def disturb_store(mode: str, scene: Scene) -> None:
    """The object store misbehaves until it has been noticed, and some seconds more."""
    before = scene.door.num_lost
    scene.door.delay_s = 0.5
    scene.door.mode = mode
    try:
        if mode not in ("slow", "refuse"):  # these let all through, or do not see who knocks
            scene.until(lambda: scene.door.num_lost > before, "a request to the store")
        time.sleep(scene.rng.uniform(2, 10))
    finally:
        scene.door.mode = "pass"


def damage_checkpoint(how: str, scene: Scene) -> None:
    """The newest checkpoint is damaged while nobody runs."""
    family = scene.workers()
    kill_driver(scene)
    scene.until(lambda: not any(map(_lives, family)), "the end of the dead command's workers")
    files = scene.files()
    manifests = files.glob(f"{scene.run().path}/checkpoints/*/manifest.json")
    newest = max((str(path).rpartition("/")[0] for path in manifests), key=_order_of)
    shards = [path for path in files.ls(newest, detail=False) if path.endswith(".safetensors")]
    _DAMAGES[how](files, scene.rng.choice(sorted(shards)))


def _order_of(checkpoint: str) -> tuple[int, int]:
    """Attempt and step of a checkpoint's folder, ``step-00000020-a1``."""
    _, step, attempt = checkpoint.rpartition("/")[2].split("-")
    return int(attempt[1:]), int(step)


def _flip(files: Any, path: str) -> None:
    content = bytearray(files.cat_file(path))
    content[len(content) // 2] ^= 1
    files.pipe_file(path, bytes(content))


def _truncate(files: Any, path: str) -> None:
    content = files.cat_file(path)
    files.pipe_file(path, content[: len(content) // 2])


_DAMAGES: dict[str, Callable[[Any, str], None]] = {
    "bit flipped": _flip,
    "truncated": _truncate,
    "shard missing": lambda files, path: files.rm_file(path),
}


def _lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


ALL: Sequence[Fault] = (
    Fault("worker SIGKILL", kill_worker, checkpoints=2),
    Fault("all workers SIGKILL", kill_all_workers, checkpoints=2),
    Fault("worker SIGSTOP", stop_worker, checkpoints=2),
    Fault("node killed", kill_node, checkpoints=2),
    Fault("command SIGKILL", kill_driver, again=True, checkpoints=2),
    Fault("command SIGTERM", terminate_driver, again=True),
    Fault("command paused", pause_driver),
    Fault("MLflow SIGKILL", kill_mlflow),
    *(
        Fault(f"store: {words}", partial(disturb_store, mode))
        for mode, words in (
            ("refuse", "connections refused"),
            ("reset", "connections reset"),
            ("hole", "no answers"),
            ("lose", "answers lost"),
            ("cut", "answers cut off"),
            ("slow", "slow"),
            ("busy", "503"),
            ("full", "507, full"),
        )
    ),
    *(
        Fault(f"checkpoint: {how}", partial(damage_checkpoint, how), again=True, checkpoints=3)
        for how in _DAMAGES
    ),
)
"""Every kind."""
