from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from trainwright.checkpoint import Checkpoint, CheckpointStore, Piece
from trainwright.errors import CheckpointError
from trainwright.storage import Folder

SHARD = "rank-00001-of-00002.safetensors"
OLD, NEW = "step-00000001-a1", "step-00000002-a1"

Damage = Callable[[Folder], None]


def rewrite(file: str, change: Callable[[bytes], bytes]) -> Damage:
    def damage(folder: Folder) -> None:
        folder.write_bytes(file, change(folder.read_bytes(file)))

    return damage


def flip(place: int) -> Callable[[bytes], bytes]:
    def change(raw: bytes) -> bytes:
        at = place % len(raw)
        return raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]

    return change


def copy_from_old(file: str) -> Damage:
    def damage(folder: Folder) -> None:
        old = Folder(folder.url.replace(NEW, OLD))
        folder.write_bytes(file, old.read_bytes(file))

    return damage


DAMAGES: dict[str, Damage] = {
    "torn shard": rewrite(SHARD, lambda raw: raw[: len(raw) // 2]),
    "truncated by one": rewrite(SHARD, lambda raw: raw[:-1]),
    "empty shard": rewrite(SHARD, lambda raw: b""),
    "longer shard": rewrite(SHARD, lambda raw: raw + b"\0"),
    "flipped length": rewrite(SHARD, flip(0)),
    "flipped header": rewrite(SHARD, flip(20)),
    "flipped element": rewrite(SHARD, flip(-100)),
    "flipped last byte": rewrite(SHARD, flip(-1)),
    "zeros": rewrite(SHARD, lambda raw: bytes(len(raw))),
    "missing shard": lambda folder: folder.remove(SHARD),
    "shard of another step": copy_from_old(SHARD),
    "missing manifest": lambda folder: folder.remove("manifest.json"),
    "empty manifest": rewrite("manifest.json", lambda raw: b""),
    "torn manifest": rewrite("manifest.json", lambda raw: raw[: len(raw) // 2]),
    "garbled manifest": rewrite("manifest.json", lambda raw: bytes(255 - b for b in raw)),
    "flipped manifest": rewrite("manifest.json", lambda raw: raw.replace(b"128", b"129", 1)),
    "manifest of another step": copy_from_old("manifest.json"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damage_is_found_and_the_one_before_used(
    folder: Folder, save_all: Any, damage: Damage
) -> None:
    for step in (1, 2):
        save_all(folder, step, state={"step": step})
    damage(folder / "checkpoints" / NEW)
    store = CheckpointStore(folder)
    used = store.latest()
    assert used is not None
    assert used.name == OLD
    assert used.state == {"step": 1}
    assert used.full("param", "model.fc.weight").eq(1.0).all()
    assert len(store.warnings) == 1
    assert NEW in store.warnings[0]
    assert f"using {OLD} instead" in store.warnings[0]


@pytest.mark.parametrize(
    "name", [n for n in DAMAGES if n.startswith(("flipped", "zeros")) and "manifest" not in n]
)
def test_same_length_damage_is_found_when_read_even_without_full_verification(
    folder: Folder, save_all: Any, name: str
) -> None:
    save_all(folder, 2)
    DAMAGES[name](folder / "checkpoints" / NEW)
    checkpoint = CheckpointStore(folder).latest(verify="sizes")
    assert checkpoint is not None
    with pytest.raises(CheckpointError, match=f"{NEW}.*{SHARD}"):
        checkpoint.full("param", "model.fc.weight")


def test_a_shard_removed_after_opening_is_a_checkpoint_error(folder: Folder, save_all: Any) -> None:
    checkpoint = save_all(folder, 2)
    checkpoint.folder.remove(SHARD)
    with pytest.raises(CheckpointError, match=f"{SHARD} is missing"):
        checkpoint.full("param", "model.fc.weight")


def test_damaged_state_names_the_checkpoint(memory: Folder, save_all: Any) -> None:
    checkpoint = save_all(memory, 2, state={"t": torch.ones(9)}, rank_states=[None, {"r": 1}])
    shard = "rank-00000-of-00002.safetensors"
    rewrite(shard, flip(-1))(checkpoint.folder)
    opened = CheckpointStore(memory).at(2)
    with pytest.raises(CheckpointError, match=f"{NEW}: state of rank 0: {shard}"):
        _ = opened.state
    assert opened.rank_state(0) is None
    assert opened.rank_state(1) == {"r": 1}


def test_a_whole_store_gives_no_warnings(folder: Folder, save_all: Any) -> None:
    assert CheckpointStore(folder).latest() is None
    for step in (1, 2, 10):
        save_all(folder, step)
    store = CheckpointStore(folder)
    assert store.latest().step == 10
    assert store.warnings == []
    assert [c.step for c in store.list()] == [1, 2, 10]


def test_every_newer_folder_that_cannot_be_used_is_named(memory: Folder, save_all: Any) -> None:
    for step in (1, 2, 3):
        save_all(memory, step)
    (memory / "checkpoints/step-00000003-a1").remove("manifest.json")
    (memory / "checkpoints/step-00000002-a1").remove(SHARD)
    store = CheckpointStore(memory)
    assert store.latest().step == 1
    assert [w.split()[1] for w in store.warnings] == ["step-00000003-a1", "step-00000002-a1"]


def test_nothing_left_says_so(memory: Folder, save_all: Any) -> None:
    save_all(memory, 1)
    (memory / "checkpoints" / OLD).remove(SHARD)
    store = CheckpointStore(memory)
    assert store.latest() is None
    assert store.warnings == [
        f"checkpoint {OLD} cannot be used: {SHARD} is missing; no checkpoint is left to use"
    ]


def test_other_files_beside_checkpoints_are_let_be(memory: Folder, save_all: Any) -> None:
    save_all(memory, 1)
    memory.write_bytes("checkpoints/notes.txt", b"mine")
    memory.write_bytes("checkpoints/step-old/x", b"mine")
    store = CheckpointStore(memory)
    assert store.latest().step == 1
    assert store.warnings == []
    store.retain(1, 0)
    assert memory.names("checkpoints") == ["notes.txt", OLD, "step-old"]


def test_the_higher_attempt_wins(memory: Folder, save_all: Any) -> None:
    save_all(memory, 200, 1, info={"from": 1})
    save_all(memory, 200, 2, info={"from": 2})
    store = CheckpointStore(memory)
    assert store.latest().info == {"from": 2}
    assert store.at(200).attempt == 2
    assert store.at("step-00000200-a1").attempt == 1
    store.at(200).folder.remove("manifest.json")
    assert store.latest().attempt == 1
    assert store.at(200).attempt == 1


def test_a_stale_worker_of_an_earlier_attempt_changes_nothing(
    memory: Folder, save_all: Any
) -> None:
    save_all(memory, 200, 1)
    save_all(memory, 250, 2, keep_last=2)
    save_all(memory, 300, 1, keep_last=1)
    store = CheckpointStore(memory)
    assert store.latest().name == "step-00000250-a2"
    assert [c.name for c in store.list()] == [
        "step-00000200-a1",
        "step-00000300-a1",
        "step-00000250-a2",
    ]
    save_all(memory, 350, 2, keep_last=2)
    assert [c.name for c in store.list()] == ["step-00000250-a2", "step-00000350-a2"]


def test_last_attempt_counts_unfinished_folders(memory: Folder, save_all: Any) -> None:
    store = CheckpointStore(memory)
    assert store.last_attempt() == 0
    save_all(memory, 1, 2)
    memory.write_bytes("checkpoints/step-00000001-a5/x.part", b"")
    assert store.last_attempt() == 5


def test_best_goes_by_score(memory: Folder, save_all: Any) -> None:
    store = CheckpointStore(memory)
    assert store.best() is None
    for step, score in enumerate([0.3, 0.9, 0.9, 0.5], start=1):
        save_all(memory, step, info={"score": score, "higher_is_better": True})
    save_all(memory, 5)
    assert store.best().step == 2
    (memory / "checkpoints/step-00000002-a1").remove(SHARD)
    rewrite(SHARD, flip(-1))(memory / "checkpoints/step-00000003-a1")
    assert store.best().step == 4
    assert len(store.warnings) == 1
    assert "step-00000003-a1" in store.warnings[0]


def test_the_writer_keeps_last_and_best(folder: Folder, save_all: Any) -> None:
    scores = [0.5, 0.1, 0.4, 0.3, 0.6]
    for step, score in enumerate(scores, start=1):
        info = {"score": score, "higher_is_better": False}
        save_all(folder, step, info=info, keep_last=2, keep_best=1)
    assert folder.names("checkpoints") == [f"step-0000000{s}-a1" for s in (2, 4, 5)]
    assert CheckpointStore(folder).best().step == 2


def test_retention_clears_leftovers_but_never_what_may_be_being_written(
    folder: Folder, save_all: Any
) -> None:
    for leftover in ("00000001-a1", "00000009-a1", "00000002-a2", "00000004-a2"):
        folder.write_bytes(f"checkpoints/step-{leftover}/x.safetensors", b"torn")
    save_all(folder, 3, 2, keep_last=1)
    assert folder.names("checkpoints") == ["step-00000003-a2", "step-00000004-a2"]


def test_retain_without_a_commit_goes_by_the_newest_whole_one(
    memory: Folder, save_all: Any
) -> None:
    store = CheckpointStore(memory)
    assert store.retain(1, 0) == ()
    for step in (1, 2, 3, 4):
        save_all(memory, step)
    (memory / "checkpoints/step-00000004-a1").remove(SHARD)
    (memory / "checkpoints/step-00000002-a1").remove(SHARD)
    assert store.retain(1, 0) == ("step-00000001-a1", "step-00000002-a1")
    assert store.latest().step == 3


def test_an_interrupted_deletion_leaves_nothing_that_counts(
    memory: Folder, save_all: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in (1, 2):
        save_all(memory, step)
    real = Folder.remove

    def interrupted(self: Folder, name: str) -> None:
        if name.endswith(OLD):
            raise OSError("connection lost")
        real(self, name)

    monkeypatch.setattr(Folder, "remove", interrupted)
    store = CheckpointStore(memory)
    with pytest.raises(OSError, match="connection lost"):
        store.retain(1, 0)
    assert [c.step for c in store.list()] == [2]
    assert SHARD in memory.names(f"checkpoints/{OLD}")
    monkeypatch.undo()
    save_all(memory, 3, keep_last=1)
    assert memory.names("checkpoints") == ["step-00000003-a1"]


def test_at_says_what_there_is(memory: Folder, save_all: Any) -> None:
    save_all(memory, 1)
    store = CheckpointStore(memory)
    with pytest.raises(CheckpointError, match=f"no checkpoint step 7 in .*there are: {OLD}"):
        store.at(7)
    with pytest.raises(CheckpointError, match="'best'"):
        store.at("best")
    (memory / "checkpoints" / OLD).remove(SHARD)
    with pytest.raises(CheckpointError, match=f"{OLD}: {SHARD} is missing"):
        store.at(OLD)


def test_reading_by_a_wrong_name_suggests_the_right_one(memory: Folder, save_all: Any) -> None:
    checkpoint: Checkpoint = save_all(memory, 1)
    assert checkpoint.kinds() == ("param",)
    assert checkpoint.names("exp_avg") == ()
    with pytest.raises(CheckpointError, match=r"did you mean 'model\.fc\.weight'"):
        checkpoint.full("param", "model.fc.wieght")
    with pytest.raises(CheckpointError, match="no tensors of kind 'exp_avg'; it has param"):
        checkpoint.shape("exp_avg", "model.fc.weight")
    with pytest.raises(CheckpointError, match="300 elements"):
        checkpoint.read("param", "model.fc.weight", 299, 2)


def test_ranks_that_disagree_about_a_shared_tensor_are_found(memory: Folder, save_all: Any) -> None:
    ranks = [[Piece("buffer", "mean", (2,), 0, torch.tensor([1.0, rank]))] for rank in range(2)]
    checkpoint = save_all(memory, 1, ranks=ranks)
    with pytest.raises(CheckpointError, match="buffer 'mean': two pieces disagree"):
        checkpoint.full("buffer", "mean")


def test_metadata_of_a_checkpoint(memory: Folder, save_all: Any) -> None:
    info = {"epoch": 3, "metrics": {"loss": float("nan")}, "score": 2, "higher_is_better": True}
    checkpoint = save_all(memory, 12, 3, info=info)
    assert (checkpoint.step, checkpoint.attempt, checkpoint.world_size) == (12, 3, 2)
    assert checkpoint.name == "step-00000012-a3"
    assert checkpoint.score == 2.0
    assert checkpoint.info["epoch"] == 3
    assert checkpoint.info["metrics"]["loss"] != checkpoint.info["metrics"]["loss"]
