"""Checkpoints that cannot be written: told, outlived, and the last one insisted on."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from trainwright.checkpoint import CheckpointStore, CheckpointWriter, Piece, writing
from trainwright.collectives import decided_by_rank_zero
from trainwright.errors import CheckpointError, RunError
from trainwright.orchestration.monitor import LocalMonitor
from trainwright.storage import Folder
from trainwright.tracking import JournalWriter, read_all
from trainwright.training.keeping import PAUSES_S, Keeper
from trainwright.training.monitored import Best
from trainwright.training.progress import Progress
from trainwright.training.recorder import Recorder
from trainwright.training.saving import Saver
from trainwright.training.telling import Teller


class Weights(Saver):
    """Saves one weight, cut between the ranks, whose value is the step."""

    def __init__(self, writer: CheckpointWriter, rank: int = 0, world_size: int = 1) -> None:
        engine: Any = SimpleNamespace(settings=SimpleNamespace(rank=rank))
        holdings: Any = SimpleNamespace(engine=engine, progress=Progress())
        super().__init__(writer, holdings, job=None, extra={}, attempt=1, lineage=[])  # type: ignore[arg-type]
        self.rank, self.world_size = rank, world_size
        self.state: dict[str, Any] = {}

    def __call__(self, improved: bool) -> None:
        step = self.holdings.progress.finished
        self._last = (step, 0)
        weight = torch.full((2,), float(step))
        piece = Piece("param", "w", (2 * self.world_size,), 2 * self.rank, weight)
        self.writer.save(step, 1, [piece], self.state, None, {})


class Scene:
    """A keeper of one worker, whose store can be made to refuse."""

    def __init__(self, folder: Path) -> None:
        self.folder = Folder(str(folder))
        self.journal = JournalWriter(self.folder, 1, [], 1)
        self.monitor = LocalMonitor()
        self.saver = Weights(CheckpointWriter(self.folder, 0, 1, keep_last=9))
        self.pauses: list[float] = []
        self.keeper = Keeper(
            self.saver, None, Teller(self.journal, self.monitor), sleep=self.pauses.append
        )

    def save(self, step: int, improved: bool = False) -> None:
        self.saver.holdings.progress.finished = step
        self.keeper(improved)

    def refuse(self) -> None:
        """A file stands where the folder of checkpoints should be."""
        (Path(self.folder.path) / "checkpoints").rename(Path(self.folder.path) / "aside")
        self.folder.write_bytes("checkpoints", b"")

    def relent(self) -> None:
        (Path(self.folder.path) / "checkpoints").unlink()
        (Path(self.folder.path) / "aside").rename(Path(self.folder.path) / "checkpoints")

    @property
    def steps(self) -> list[int]:
        return [checkpoint.step for checkpoint in CheckpointStore(self.folder).list()]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_training_goes_on_and_the_next_one_is_tried(scene: Scene) -> None:
    scene.save(1)
    scene.keeper.settle()
    scene.refuse()
    scene.save(2)
    scene.keeper.settle()
    scene.relent()
    scene.save(3)
    scene.keeper.finish()
    assert scene.steps == [1, 3]
    assert scene.pauses == []
    (told,) = scene.monitor.progress()["remarks"]
    assert told.startswith("checkpoint step-00000002-a1 could not be written: worker 0: ")
    assert told.endswith("The newest good one is step-00000001-a1")
    scene.journal.close()
    (event,) = (row for row in read_all(scene.folder) if row["kind"] == "event")
    assert (event["message"], event["step"]) == (told, 2)
    (warning,) = scene.keeper.warnings
    assert warning.startswith("one checkpoint could not be written on the way: worker 0: ")


def test_the_last_one_is_tried_until_it_is_written(scene: Scene) -> None:
    scene.save(1)
    scene.keeper.settle()
    scene.refuse()
    scene.save(2)

    def wait(seconds: float) -> None:
        scene.pauses.append(seconds)
        if len(scene.pauses) == 3:
            scene.relent()

    scene.keeper.sleep = wait
    scene.keeper.finish()
    assert scene.pauses == list(PAUSES_S[:3])
    last = CheckpointStore(scene.folder).latest()
    assert last is not None
    assert last.name == scene.keeper.newest == "step-00000002-a1-r3"
    assert last.full("param", "w").tolist() == [2.0, 2.0]


def test_a_last_one_that_cannot_be_written_is_an_error_with_all_there_is_to_know(
    scene: Scene,
) -> None:
    scene.save(1)
    scene.keeper.settle()
    scene.keeper.limit = 1
    scene.refuse()
    scene.save(2)
    with pytest.raises(CheckpointError) as caught:
        scene.keeper.finish()
    assert scene.pauses == list(PAUSES_S)
    told = str(caught.value)
    assert f"could not be written to {scene.folder.url}: worker 0: " in told
    assert "newest good one is step-00000001-a1" in told
    assert "the same command then goes on" in told


def test_a_limit_of_failures_in_a_row(scene: Scene) -> None:
    scene.keeper.limit = 1
    scene.save(1)
    scene.keeper.settle()
    for step in (2, 4):
        scene.refuse()
        scene.save(step)
        scene.keeper.settle()
        scene.relent()
        scene.save(step + 1)
        scene.keeper.settle()
    scene.refuse()
    scene.save(6)
    scene.keeper.settle()
    scene.save(7)
    with pytest.raises(CheckpointError, match=r"step-00000007.*max_failed_checkpoints is 1"):
        scene.keeper.settle()


def test_what_was_written_in_part_is_removed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writing, "commit", full)
    scene.save(1)
    scene.keeper.settle()
    monkeypatch.undo()
    scene.save(2)  # waits until it is removed
    scene.keeper.finish()
    assert scene.folder.names("checkpoints") == ["step-00000002-a1"]


def test_old_ones_that_cannot_be_removed_are_told_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*arguments: Any, **options: Any) -> None:
        raise PermissionError("AccessDenied")

    monkeypatch.setattr(CheckpointStore, "retain", forbidden)
    for step in (1, 2, 3):
        scene.save(step)
    scene.keeper.finish()
    assert scene.steps == [1, 2, 3]
    expected = ["old checkpoints could not be removed: PermissionError: AccessDenied"]
    assert scene.monitor.progress()["remarks"] == expected == scene.keeper.warnings


def test_what_cannot_be_stored_is_an_error_at_once(scene: Scene) -> None:
    scene.saver.state = {"lock": object()}
    with pytest.raises(CheckpointError, match=r"state\.lock: a value of type object"):
        scene.save(1)
    scene.saver.state = {}
    scene.save(2)
    scene.keeper.settle()
    scene.save(2)  # a finished checkpoint is never rewritten, however often it is tried
    with pytest.raises(CheckpointError, match="it exists already"):
        scene.keeper.finish()
    assert scene.pauses == []


def test_a_best_value_whose_weights_are_lost_is_no_longer_the_best(scene: Scene) -> None:
    best = scene.saver.holdings.progress.best = Best("loss")
    for step, loss in ((1, 0.5), (2, 0.1)):
        assert best.improves({"loss": loss}, step)
        scene.save(step, improved=True)
        if step == 1:
            scene.keeper.settle()
            scene.refuse()
    scene.keeper.settle()
    assert (best.value, best.step) == (0.5, 1)
    assert best.improves({"loss": 0.2}, 3)


def _on_two_workers(folder: str) -> dict[str, Any]:
    """Worker 1's disk is full for the first checkpoint; worker 0 would wait ten minutes for it."""
    import torch.distributed as dist

    rank, monitor = dist.get_rank(), LocalMonitor()
    saver = Weights(CheckpointWriter(Folder(folder), rank, 2), rank, 2)
    keeper = Keeper(saver, None, Teller(None, monitor))
    recorder = Recorder(torch.device("cpu"), 2, 10, None, monitor, saves=keeper)
    real, step = writing.write_shard, 0

    def full(*arguments: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    writing.write_shard = full if rank == 1 else real
    try:
        keeper(False)
        while not keeper.failures and step < 10_000:
            step += 1
            recorder.note(step, {"train/loss": torch.tensor(1.0)}, {}, {}, 8)
            recorder.pass_on()
    finally:
        writing.write_shard = real
    saver.holdings.progress.finished = step
    recorder.flush()
    keeper(False)
    keeper.finish()
    return {"step": step, "newest": keeper.newest, **monitor.progress()}


def test_all_workers_learn_of_a_failure_within_a_few_updates(
    tmp_path: Path, two_workers: Any
) -> None:
    first, second = two_workers.run(_on_two_workers, str(tmp_path))
    assert first["remarks"] == second["remarks"]
    assert first["remarks"][0] == (
        "checkpoint step-00000000-a1 could not be written: worker 1: OSError: [Errno 28] "
        "No space left on device. There is no good one"
    )
    assert first["step"] == second["step"] < 10_000
    newest = f"step-{first['step']:08d}-a1"
    assert first["newest"] == second["newest"] == newest
    assert Folder(str(tmp_path)).names("checkpoints") == [newest]


def _decide(decide: Callable[[], Any]) -> str:
    import torch.distributed as dist

    try:
        return str(decided_by_rank_zero(dist.get_rank(), decide))
    except (RunError, CheckpointError) as error:
        return f"{type(error).__name__}: {error}"


def _damaged() -> Any:
    raise CheckpointError("all are damaged")


def _five() -> int:
    return 5


def test_where_worker_0_fails_all_fail(two_workers: Any) -> None:
    assert two_workers.run(_decide, _five) == ["5", "5"]
    assert two_workers.run(_decide, _damaged) == [
        "CheckpointError: all are damaged",
        "RunError: worker 0 failed: CheckpointError: all are damaged",
    ]
