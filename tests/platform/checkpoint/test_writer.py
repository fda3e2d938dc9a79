from __future__ import annotations

import threading
from typing import Any

import pytest
import safetensors
import torch
from weight_pieces import TwoRanks, weight_piece

from trainwright.checkpoint import CheckpointStore, CheckpointWriter, Piece, writing
from trainwright.errors import CheckpointError
from trainwright.storage import Folder


class Gate:
    """Holds back the background thread just before it writes the shard."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = threading.Event()
        self.reached = threading.Event()
        self.passed: list[int] = []
        real = writing.write_shard

        def held(*arguments: Any) -> Any:
            self.reached.set()
            assert self.open.wait(30)
            self.passed.append(len(self.passed))
            return real(*arguments)

        monkeypatch.setattr(writing, "write_shard", held)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(monkeypatch)


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


def test_what_the_ranks_have_written_is_read_side_by_side(
    memory: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store answers late: 4,096 answers one after another would take minutes.

    Rank 0 need not ask for what it has written itself.
    """
    both = threading.Barrier(2)
    read = Folder.read_bytes

    def answering_two_at_a_time(folder: Folder, name: str) -> bytes:
        if name.endswith("-of-00003.json"):
            both.wait(30)
        return read(folder, name)

    monkeypatch.setattr(Folder, "read_bytes", answering_two_at_a_time)
    ranks = [CheckpointWriter(memory, rank, 3) for rank in (2, 1, 0)]
    for rank in ranks:
        rank.save(1, 1, [weight_piece(torch.ones(3))], {}, None, {})
    for rank in ranks:
        rank.wait()
    assert CheckpointStore(memory).latest().step == 1
