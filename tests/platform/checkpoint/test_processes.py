"""Ranks in processes of their own: writing at once, and killed at any moment."""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from typing import Any

import pytest
import torch

from trainwright.checkpoint import Checkpoint, CheckpointStore
from trainwright.storage import Folder


def check_content(checkpoint: Checkpoint, numel: int) -> None:
    """Everything in it is of its own step."""
    step = checkpoint.step
    assert torch.equal(checkpoint.full("param", "model.weight"), torch.full((numel,), float(step)))
    assert checkpoint.state["step"] == step
    assert checkpoint.state["mean"].item() == step
    assert checkpoint.info == {"epoch": step}
    for rank in range(checkpoint.world_size):
        state = checkpoint.rank_state(rank)
        assert state is not None
        assert state["rank"] == rank
        assert state["draws"].tolist() == [step * 10 + rank] * 7


@pytest.mark.parametrize("world", [2, 3])
def test_processes_write_their_shards_at_once(local: Folder, zygote: Any, world: int) -> None:
    numel = 100_001
    zygote.start(url=local.url, world=world, attempt=1, first=1, count=6, numel=numel)
    assert zygote.join() == [0] * world
    store = CheckpointStore(local)
    assert [c.step for c in store.list()] == [5, 6]
    for checkpoint in store.list():
        checkpoint.verify()
        check_content(checkpoint, numel)


def test_kill_at_any_moment_leaves_a_whole_checkpoint(local: Folder, zygote: Any) -> None:
    numel = 300_000
    random_delays = random.Random(5)
    store = CheckpointStore(local)
    step, kills_in_mid_write = 0, 0
    for attempt in itertools.count(1):
        world = 1 + attempt % 3
        pids = zygote.start(
            url=local.url, world=world, attempt=attempt, first=step + 1, count=10_000, numel=numel
        )
        time.sleep(random_delays.uniform(0.02, 0.25))
        for pid in random_delays.sample(pids, len(pids)):
            os.kill(pid, signal.SIGKILL)
        assert zygote.join() == [-signal.SIGKILL] * world
        latest = store.latest()
        kills_in_mid_write += bool(store.warnings)
        if latest is not None:
            assert latest.step >= step
            check_content(latest, numel)
            step = latest.step
        else:
            assert step == 0
        # How far the writers come depends on the machine: until enough were hit while writing.
        if attempt >= 20 and step > 3 and kills_in_mid_write >= 3:
            break
        assert attempt < 100
    zygote.start(url=local.url, world=2, attempt=attempt + 1, first=step + 1, count=3, numel=numel)
    assert zygote.join() == [0, 0]
    assert local.names("checkpoints") == [f"step-{step + n:08d}-a{attempt + 1}" for n in (2, 3)]
    assert not list(local.local_path().rglob("*.part"))


def test_one_killed_rank_means_that_nothing_is_committed(local: Folder, zygote: Any) -> None:
    pids = zygote.start(url=local.url, world=2, attempt=1, first=1, count=100_000, numel=1000)
    store = CheckpointStore(local)
    deadline = time.monotonic() + 60
    while store.latest() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(pids[1], signal.SIGKILL)
    # Rank 0 goes on deleting what is old, so that a folder may vanish while it is looked at.
    last_of_rank_1 = max(
        int(name.split("-")[1])
        for name in local.names("checkpoints")
        if (local.local_path() / "checkpoints" / name / "rank-00001-of-00002.json").exists()
    )
    deadline = time.monotonic() + 60
    while (used := store.latest()) is None or used.step < last_of_rank_1:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.5)
    after = store.latest()
    os.kill(pids[0], signal.SIGKILL)
    zygote.join()
    assert after is not None
    assert after.step == last_of_rank_1
    check_content(after, 1000)
