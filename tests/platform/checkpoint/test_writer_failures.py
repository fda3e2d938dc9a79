"""Checkpoints that cannot be written whole: told, never committed, never in the way."""

from __future__ import annotations

import errno
import resource
import subprocess
import sys
from typing import Any

import pytest
import torch
from weight_pieces import TwoRanks, weight_piece

from trainwright.checkpoint import CheckpointStore, CheckpointWriter, Piece
from trainwright.errors import CheckpointError
from trainwright.storage import Folder


def test_a_failed_write_is_raised_by_the_next_call_and_only_once(local: Folder) -> None:
    local.write_bytes("checkpoints", b"a file where the folder should be")
    saver = CheckpointWriter(local, 0, 1)
    saver.save(1, 1, [weight_piece(torch.ones(2))], {}, None, {})
    with pytest.raises(CheckpointError, match="step-00000001-a1") as caught:
        saver.save(2, 1, [weight_piece(torch.ones(2))], {}, None, {})
    assert isinstance(caught.value.__cause__, OSError)
    saver.wait()
    local.remove("checkpoints")
    saver.save(3, 1, [weight_piece(torch.ones(2))], {}, None, {})
    saver.wait()
    assert [c.step for c in CheckpointStore(local).list()] == [3]


DISK_FULL = """
import resource, sys, torch
from trainwright.checkpoint import CheckpointStore, CheckpointWriter, Piece
from trainwright.errors import CheckpointError
from trainwright.storage import Folder
folder = Folder(sys.argv[1])
saver = CheckpointWriter(folder, 0, 1)
def save(step, numel):
    saver.save(step, 1, [Piece("param", "w", (numel,), 0, torch.ones(numel))], {}, None, {})
    saver.wait()
save(1, 100)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    save(2, 1_000_000)
except CheckpointError as error:
    print(error.__cause__.errno)
save(3, 200)
print([c.step for c in CheckpointStore(folder).list()])
"""


def test_a_full_disk_leaves_the_one_before_and_says_why(local: Folder) -> None:
    assert resource.RLIMIT_FSIZE is not None
    done = subprocess.run(
        [sys.executable, "-c", DISK_FULL, local.url], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split("\n")[:2] == [str(errno.EFBIG), "[1, 3]"], done.stderr
    assert (local / "checkpoints" / "step-00000002-a1").names() == []


def test_rank_0_gives_up_on_a_rank_that_never_comes(memory: Folder, two_ranks: TwoRanks) -> None:
    saver = CheckpointWriter(memory, 0, 2, commit_timeout_s=0.1)
    saver.save(1, 1, two_ranks(1.0)[0], {}, None, {})
    with pytest.raises(CheckpointError, match=r"rank 1 did not finish writing within 0\.1 s"):
        saver.wait()
    assert CheckpointStore(memory).latest() is None


def test_elements_that_no_rank_gave_are_named(memory: Folder, two_ranks: TwoRanks) -> None:
    savers = [CheckpointWriter(memory, rank, 2) for rank in range(2)]
    first, second = two_ranks(1.0)
    savers[0].save(1, 1, first, {}, None, {})
    savers[1].save(1, 1, [Piece("param", "other", (1,), 0, torch.ones(1))], {}, None, {})
    savers[1].wait()
    with pytest.raises(CheckpointError, match=r"'model\.fc\.weight': elements 128 to 300"):
        savers[0].wait()
    assert CheckpointStore(memory).latest() is None
    assert second


def test_a_shard_cut_short_after_its_sidecar_is_not_committed(
    memory: Folder, two_ranks: TwoRanks
) -> None:
    first, second = two_ranks(1.0)
    other = CheckpointWriter(memory, 1, 2)
    other.save(1, 1, second, {}, None, {})
    other.wait()
    shard = "checkpoints/step-00000001-a1/rank-00001-of-00002.safetensors"
    memory.write_bytes(shard, memory.read_bytes(shard)[:-5])
    saver = CheckpointWriter(memory, 0, 2)
    saver.save(1, 1, first, {}, None, {})
    with pytest.raises(CheckpointError, match=r"rank-00001-of-00002\.safetensors has"):
        saver.wait()


def test_a_sidecar_of_another_checkpoint_is_not_committed(
    memory: Folder, save_all: Any, two_ranks: TwoRanks
) -> None:
    save_all(memory, 1)
    side = "rank-00001-of-00002.json"
    stray = memory.read_bytes(f"checkpoints/step-00000001-a1/{side}")
    memory.write_bytes(f"checkpoints/step-00000002-a1/{side}", stray)
    saver = CheckpointWriter(memory, 0, 2)
    saver.save(2, 1, two_ranks(2.0)[0], {}, None, {})
    with pytest.raises(CheckpointError, match="belongs to step-00000001-a1"):
        saver.wait()


def test_a_finished_checkpoint_is_never_rewritten(memory: Folder, save_all: Any) -> None:
    save_all(memory, 1)
    with pytest.raises(CheckpointError, match="never rewritten"):
        save_all(memory, 1)
    assert CheckpointStore(memory).latest().step == 1


def test_leftovers_of_a_killed_attempt_do_not_block(memory: Folder, save_all: Any) -> None:
    memory.write_bytes("checkpoints/step-00000001-a1/rank-00000-of-00002.safetensors", b"torn")
    memory.write_bytes("checkpoints/step-00000001-a2/rank-00000-of-00002.safetensors", b"torn")
    memory.write_bytes("checkpoints/step-00000001-a2/rank-00000-of-00003.json", b"torn")
    checkpoint = save_all(memory, 1, 2)
    assert CheckpointStore(memory).latest().name == checkpoint.name
    checkpoint.verify()


def test_a_program_that_ends_after_save_still_finishes_it(local: Folder) -> None:
    program = (
        "import sys, torch\n"
        "from trainwright.checkpoint import CheckpointWriter, Piece\n"
        "from trainwright.storage import Folder\n"
        "w = torch.ones(1_000_000)\n"
        "CheckpointWriter(Folder(sys.argv[1]), 0, 1).save("
        "1, 1, [Piece('param', 'w', (1_000_000,), 0, w)], {}, None, {})\n"
    )
    subprocess.run([sys.executable, "-c", program, local.url], check=True, timeout=120)
    assert CheckpointStore(local).latest().step == 1


@pytest.mark.parametrize(("rank", "world"), [(1, 1), (-1, 2), (0, 0)])
def test_a_rank_outside_its_world_is_refused(memory: Folder, rank: int, world: int) -> None:
    with pytest.raises(ValueError, match="rank"):
        CheckpointWriter(memory, rank, world)
