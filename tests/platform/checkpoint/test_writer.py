from __future__ import annotations

import errno
import resource
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
import safetensors
import torch

from trainwright.checkpoint import CheckpointStore, CheckpointWriter, Piece, writer
from trainwright.errors import CheckpointError
from trainwright.storage import Folder

TwoRanks = Callable[[float], list[list[Piece]]]


class Gate:
    """Holds back the background thread just before it writes the shard."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = threading.Event()
        self.reached = threading.Event()
        self.passed: list[int] = []
        real = writer.write_shard

        def held(*arguments: Any) -> Any:
            self.reached.set()
            assert self.open.wait(30)
            self.passed.append(len(self.passed))
            return real(*arguments)

        monkeypatch.setattr(writer, "write_shard", held)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(monkeypatch)


def weight_piece(tensor: torch.Tensor, name: str = "model.w") -> Piece:
    return Piece("param", name, tuple(tensor.shape), 0, tensor.reshape(-1))


def test_what_is_saved_is_what_it_was_at_the_call(memory: Folder, gate: Gate) -> None:
    weight, average, draws = torch.ones(10), torch.full((2, 3), 2.0), torch.full((4,), 3)
    state = {"ema": average, "list": [1, 2], "nested": {"t": average[0]}}
    rank_state = {"draws": draws}
    info = {"epoch": 1}
    saver = CheckpointWriter(memory, 0, 1)
    saver.save(5, 1, [weight_piece(weight)], state, rank_state, info)
    for tensor in (weight, average, draws):
        tensor.zero_()
    state["list"].append(3)
    info["epoch"] = 9
    gate.open.set()
    saver.wait()
    checkpoint = CheckpointStore(memory).at(5)
    assert checkpoint.full("param", "model.w").tolist() == [1.0] * 10
    assert checkpoint.state["ema"].tolist() == [[2.0] * 3] * 2
    assert checkpoint.state["nested"]["t"].tolist() == [2.0] * 3
    assert checkpoint.state["list"] == [1, 2]
    assert checkpoint.rank_state(0)["draws"].tolist() == [3] * 4
    assert checkpoint.info == {"epoch": 1}


def test_save_returns_before_anything_is_written(memory: Folder, gate: Gate) -> None:
    saver = CheckpointWriter(memory, 0, 1)
    saver.save(1, 1, [weight_piece(torch.ones(3))], {}, None, {})
    assert gate.reached.wait(30)
    assert CheckpointStore(memory).latest() is None
    gate.open.set()
    saver.wait()
    assert CheckpointStore(memory).latest().step == 1


def test_a_second_save_waits_for_the_first(memory: Folder, gate: Gate) -> None:
    saver = CheckpointWriter(memory, 0, 1)
    weight = torch.ones(3)
    saver.save(1, 1, [weight_piece(weight)], {}, None, {})
    weight.fill_(2)
    second = threading.Thread(target=saver.save, args=(2, 1, [weight_piece(weight)], {}, None, {}))
    second.start()
    second.join(0.2)
    assert second.is_alive()
    assert gate.passed == []
    gate.open.set()
    second.join(30)
    saver.wait()
    store = CheckpointStore(memory)
    assert [c.full("param", "model.w")[0].item() for c in store.list()] == [1.0, 2.0]


def test_pieces_may_be_made_one_by_one_in_reused_memory(memory: Folder) -> None:
    buffer = torch.empty(4)

    def pieces():
        for number in range(5):
            buffer.fill_(number)
            yield Piece("param", f"w{number}", (4,), 0, buffer)

    saver = CheckpointWriter(memory, 0, 1)
    saver.save(1, 1, pieces(), {}, None, {})
    saver.wait()
    checkpoint = CheckpointStore(memory).at(1)
    assert [checkpoint.full("param", f"w{n}")[0].item() for n in range(5)] == list(range(5))


def test_tensors_may_change_shape_and_come_and_go_between_saves(memory: Folder) -> None:
    saver = CheckpointWriter(memory, 0, 1)
    contents = [
        {"a": torch.ones(3), "b": torch.zeros(2, 2)},
        {"a": torch.full((5,), 2.0), "c": torch.tensor(7)},
        {"a": torch.full((5,), 3.0, dtype=torch.bfloat16)},
    ]
    for step, tensors in enumerate(contents):
        saver.save(step, 1, [weight_piece(t, n) for n, t in tensors.items()], {}, None, {})
    saver.wait()
    for step, tensors in enumerate(contents):
        checkpoint = CheckpointStore(memory).at(step)
        assert set(checkpoint.names("param")) == set(tensors)
        for name, tensor in tensors.items():
            assert torch.equal(checkpoint.full("param", name), tensor)
            assert checkpoint.dtype("param", name) == tensor.dtype


def test_views_parameters_and_scalars(memory: Folder) -> None:
    base = torch.arange(12.0).reshape(3, 4)
    parameter = torch.nn.Parameter(torch.randn(2, 2))
    pieces = [
        Piece("param", "transposed", (4, 3), 0, base.t()),
        Piece("param", "parameter", (2, 2), 0, parameter),
        Piece("buffer", "count", (), 0, torch.tensor(41)),
        Piece("buffer", "none", (0, 4), 0, torch.empty(0, 4, dtype=torch.int64)),
    ]
    saver = CheckpointWriter(memory, 0, 1)
    saver.save(1, 1, pieces, None, None, {})
    saver.wait()
    checkpoint = CheckpointStore(memory).at(1)
    assert torch.equal(checkpoint.full("param", "transposed"), base.t())
    assert torch.equal(checkpoint.full("param", "parameter"), parameter.detach())
    assert checkpoint.full("buffer", "count").shape == ()
    assert checkpoint.full("buffer", "count").item() == 41
    assert checkpoint.full("buffer", "none").shape == (0, 4)
    assert checkpoint.dtype("buffer", "none") is torch.int64
    assert checkpoint.state == {}
    assert checkpoint.rank_state(0) is None


def test_files_are_plain_safetensors_with_speaking_keys(
    local: Folder, save_all: Any, two_ranks: TwoRanks
) -> None:
    checkpoint = save_all(local, ranks=two_ranks(1.0), state={"ema": torch.ones(2)})
    path = checkpoint.folder.local_path()
    assert sorted(p.name for p in path.iterdir()) == [
        "manifest.json",
        "rank-00000-of-00002.json",
        "rank-00000-of-00002.safetensors",
        "rank-00001-of-00002.json",
        "rank-00001-of-00002.safetensors",
    ]
    with safetensors.safe_open(path / "rank-00001-of-00002.safetensors", "pt") as shard:
        assert list(shard.keys()) == ["param|model.fc.weight|128"]
        assert shard.metadata()["checkpoint"] == "step-00000001-a1"
    with safetensors.safe_open(path / "rank-00000-of-00002.safetensors", "pt") as shard:
        assert set(shard.keys()) == {"param|model.fc.weight|0", "state|0.ema"}


def test_each_rank_gets_its_own_state_back(memory: Folder, save_all: Any) -> None:
    states = [{"rng": torch.full((3,), rank), 7: (rank, None)} for rank in range(2)]
    checkpoint = save_all(memory, state={"a": 1}, rank_states=states)
    for rank, state in enumerate(states):
        back = checkpoint.rank_state(rank)
        assert torch.equal(back["rng"], state["rng"])
        assert back[7] == state[7]
    assert checkpoint.rank_state(2) is None
    assert checkpoint.state == {"a": 1}


@pytest.mark.parametrize(
    ("pieces", "state", "info", "words"),
    [
        ([weight_piece(torch.ones(2))] * 2, {}, {}, "given twice"),
        ([], {"a": {"b": object()}}, {}, r"state\.a\.b"),
        ([], {}, {"t": torch.ones(1)}, r"info\.t"),
        ([], {}, {"score": 1.0}, r"info\.higher_is_better"),
        ([], {}, {"score": "good", "higher_is_better": True}, r"info\.score"),
        (
            [weight_piece(torch.ones(2)), Piece("param", "model.w", (3,), 2, torch.ones(1))],
            {},
            {},
            "written as",
        ),
    ],
)
def test_what_cannot_be_stored_is_refused_at_once(
    memory: Folder, pieces: list[Piece], state: Any, info: Any, words: str
) -> None:
    saver = CheckpointWriter(memory, 0, 1)
    with pytest.raises(CheckpointError, match=words):
        saver.save(1, 1, pieces, state, None, info)
    assert memory.names("checkpoints") == []
    saver.save(2, 1, [weight_piece(torch.ones(2))], {}, None, {})
    saver.wait()
    assert CheckpointStore(memory).latest().step == 2


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
