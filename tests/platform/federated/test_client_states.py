"""What clients keep between rounds: against a plain dictionary, and damaged on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from trainwright.errors import CheckpointError
from trainwright.federated.server.client_states import ClientStates
from trainwright.federated.server.state_shard import StateShard
from trainwright.storage import Folder

FIRST = {"control": torch.zeros(3), "seen": torch.zeros(())}


def state(value: float) -> dict[str, Tensor]:
    return {"control": torch.full((3,), value), "seen": torch.tensor(value)}


def plain(states: list[Any]) -> list[list[float]]:
    return [[*found["control"].tolist(), float(found["seen"])] for found in states]


def folder_of(path: Path) -> Folder:
    return Folder(str(path))


STEP = st.tuples(
    st.sampled_from(["round", "round", "round", "checkpoint", "reopen"]),
    st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True),
)


@given(st.lists(STEP, max_size=14), st.integers(0, 3), st.booleans())
def test_like_a_dictionary(tmp_path_factory, steps, kept, spills) -> None:
    """Rounds put states, checkpoints keep and forget, a run goes on from any kept checkpoint."""
    folder = folder_of(tmp_path_factory.mktemp("states"))
    limit = 0 if spills else 1 << 20
    states, now = ClientStates(folder, FIRST, 0, limit), dict[int, float]()
    checkpoints: list[tuple[int, dict[int, float]]] = [(0, {})]
    rounds, value = 0, 0.0
    for what, clients in steps:
        if what == "round":
            rounds += 1
            value += 1
            states.put(clients, [state(value + client) for client in clients], rounds)
            now |= {client: value + client for client in clients}
        elif what == "checkpoint" and rounds > checkpoints[-1][0]:
            states.flush(rounds)
            states.forget(checkpoints[0][0])
            checkpoints = [*checkpoints, (rounds, dict(now))][-1 - kept :]
        elif what == "reopen":
            place = clients[0] % len(checkpoints)
            checkpoints = checkpoints[: place + 1]
            rounds, now = checkpoints[-1][0], dict(checkpoints[-1][1])
            states = ClientStates(folder, FIRST, rounds, limit)
        wanted = [state(now[c]) if c in now else FIRST for c in range(10)]
        assert plain(states.get(range(10))) == plain(wanted)
        assert len(states) == len(now)


def test_clients_that_never_took_part_cost_nothing(tmp_path: Path) -> None:
    states = ClientStates(folder_of(tmp_path), FIRST, 0)
    assert states.get([10**9]) == [FIRST]
    states.flush(5)
    assert not (tmp_path / "clients").exists()


def test_shards_that_nobody_needs_are_removed(tmp_path: Path) -> None:
    states = ClientStates(folder_of(tmp_path), FIRST, 0)
    for rounds, clients in ((1, [1, 2]), (2, [2]), (3, [1]), (4, [3])):
        states.put(clients, [state(rounds) for _ in clients], rounds)
        states.flush(rounds)
        states.forget(2)
    names = [f"round-{number:08d}.safetensors" for number in range(1, 5)]
    assert sorted(file.name for file in (tmp_path / "clients").iterdir()) == names
    states.forget(3)  # of the first one 1 has a newer state and 2 too
    assert sorted(file.name for file in (tmp_path / "clients").iterdir()) == names[1:]
    again = ClientStates(folder_of(tmp_path), FIRST, 4)
    assert plain(again.get([1, 2, 3])) == plain([state(3.0), state(2.0), state(4.0)])


def test_younger_shards_are_removed(tmp_path: Path) -> None:
    states = ClientStates(folder_of(tmp_path), FIRST, 0)
    for rounds in (2, 4):
        states.put([1], [state(rounds)], rounds)
        states.flush(rounds)
    earlier = ClientStates(folder_of(tmp_path), FIRST, 3)
    assert plain(earlier.get([1])) == plain([state(2.0)])
    assert [file.name for file in (tmp_path / "clients").iterdir()] == [
        "round-00000002.safetensors"
    ]


class TestDamage:
    @pytest.fixture
    def shard(self, tmp_path: Path) -> Path:
        folder = folder_of(tmp_path)
        StateShard.write(folder, "shard.safetensors", {c: state(c + 0.5) for c in (3, 8, 5)})
        return tmp_path / "shard.safetensors"

    def read(self, shard: Path) -> list[list[float]]:
        opened = StateShard.open(folder_of(shard.parent), shard.name)
        return plain([opened.read(client) for client in (3, 5, 8)])

    def test_what_was_written_is_read(self, shard: Path) -> None:
        assert self.read(shard) == plain([state(3.5), state(5.5), state(8.5)])

    def test_every_flipped_byte_is_noticed_or_harmless(self, shard: Path) -> None:
        good, content = self.read(shard), shard.read_bytes()
        noticed = 0
        for place in range(len(content)):
            spoilt = bytearray(content)
            spoilt[place] ^= 0x10
            shard.write_bytes(spoilt)
            told = ""
            try:
                assert self.read(shard) == good, f"byte {place}"
            except CheckpointError as error:
                told = str(error)
            assert not told or shard.name in told, f"byte {place}"
            noticed += bool(told)
        assert noticed > len(content) / 2

    def test_every_truncation_is_noticed(self, shard: Path) -> None:
        content = shard.read_bytes()
        for length in range(0, len(content), 7):
            shard.write_bytes(content[:length])
            with pytest.raises(CheckpointError, match=shard.name):
                self.read(shard)

    def test_the_client_is_named(self, shard: Path) -> None:
        content = bytearray(shard.read_bytes())
        place = content.index(torch.full((3,), 5.5).numpy().tobytes())
        content[place] ^= 1
        shard.write_bytes(content)
        opened = StateShard.open(folder_of(shard.parent), shard.name)
        assert plain([opened.read(3), opened.read(8)]) == plain([state(3.5), state(8.5)])
        with pytest.raises(CheckpointError, match=r"client 5 in .*shard\.safetensors is damaged"):
            opened.read(5)


def test_states_of_no_elements(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    StateShard.write(
        folder, "a.safetensors", {1: {"none": torch.zeros(0, 2)}, 2: {"none": torch.zeros(0, 2)}}
    )
    assert StateShard.open(folder, "a.safetensors").read(2)["none"].shape == (0, 2)
    StateShard.write(folder, "b.safetensors", {1: {}, 2: {}})
    assert StateShard.open(folder, "b.safetensors").read(1) == {}
