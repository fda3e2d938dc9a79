from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from trainwright.checkpoint import manifest as module
from trainwright.checkpoint.files import FileRecord
from trainwright.checkpoint.manifest import CheckpointName, Manifest, Sidecar, shard_name
from trainwright.checkpoint.pieces import PieceRef, TensorEntry
from trainwright.errors import CheckpointError

NAME = CheckpointName(attempt=2, step=200)
RECORD = FileRecord(120, 64, ("aa", "bb"))
INDEX = {"param": {"w": TensorEntry((3,), torch.float32, (PieceRef(shard_name(0, 1), 0, 3),))}}
MANIFEST = Manifest(
    NAME,
    1,
    {"epoch": 3, "metrics": {"validation/loss": 0.25}},
    {"cursor": {"epoch": 1, "update": 7}, "rate": 1e-3},
    ({"draws": [1, 2]},),
    {shard_name(0, 1): RECORD},
    INDEX,
)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("step-00000200-a1", CheckpointName(1, 200)),
        ("step-123456789-a12", CheckpointName(12, 123456789)),
        ("step-200-a1", None),
        ("step-00000200", None),
        ("step-00000200-a1.part", None),
        ("best", None),
    ],
)
def test_names(text: str, name: CheckpointName | None) -> None:
    assert CheckpointName.parse(text) == name
    if name is not None:
        assert str(name) == text


def test_a_later_attempt_is_newer_than_any_step_of_an_earlier_one() -> None:
    names = [CheckpointName(2, 250), CheckpointName(1, 300), CheckpointName(2, 200)]
    assert [str(name) for name in sorted(names)] == [
        "step-00000300-a1",
        "step-00000200-a2",
        "step-00000250-a2",
    ]


def test_manifest_and_sidecar_round_trip() -> None:
    assert Manifest.from_bytes(MANIFEST.to_bytes(), NAME) == MANIFEST
    sidecar = Sidecar(NAME, 1, 2, RECORD, INDEX, {"a": [1.5]})
    assert Sidecar.from_bytes(sidecar.to_bytes(), "x.json") == sidecar
    assert sidecar.shard == "rank-00001-of-00002.safetensors"


def test_the_manifest_is_strict_json_that_a_person_can_read() -> None:
    text = MANIFEST.to_bytes().decode()
    assert json.loads(text)["index"]["param"]["w"] == {
        "shape": [3],
        "dtype": "float32",
        "pieces": [["rank-00000-of-00001.safetensors", 0, 3]],
    }
    assert '\n"step": 200,\n' in text


@pytest.mark.parametrize("flip", [1, 4, 32, 128])
def test_every_flipped_bit_is_found_or_harmless(flip: int) -> None:
    whole = MANIFEST.to_bytes()
    found = 0
    for place in range(len(whole)):
        damaged = whole[:place] + bytes([whole[place] ^ flip]) + whole[place + 1 :]
        try:
            same = Manifest.from_bytes(damaged, NAME)
        except CheckpointError:
            found += 1
        else:  # a changed blank between two values, or 1e-3 as 1E-3
            assert same == MANIFEST
    assert found > 0.9 * len(whole)


def test_every_truncation_is_found() -> None:
    whole = MANIFEST.to_bytes().rstrip()
    for length in range(len(whole)):
        with pytest.raises(CheckpointError):
            Manifest.from_bytes(whole[:length], NAME)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00" * 100,
        b"\xff\xfe",
        b"[]",
        b"1",
        b"null",
        b"{}",
        b'{"checksum": 1}',
        b'{"format": 1, "checksum": "x"}',
    ],
)
def test_garbage_is_a_checkpoint_error(raw: bytes) -> None:
    with pytest.raises(CheckpointError, match=r"manifest\.json"):
        Manifest.from_bytes(raw, NAME)


def test_a_manifest_of_another_step_is_refused() -> None:
    with pytest.raises(CheckpointError, match="belongs to step-00000200-a2"):
        Manifest.from_bytes(MANIFEST.to_bytes(), CheckpointName(2, 100))


@pytest.mark.parametrize(
    "file", ["../../other/run.json", "/etc/passwd", "s3://elsewhere/x", shard_name(1, 1)]
)
def test_a_file_outside_is_refused(file: str) -> None:
    raw = replace(MANIFEST, files={**MANIFEST.files, file: RECORD}).to_bytes()
    with pytest.raises(CheckpointError, match="none of its shards") as caught:
        Manifest.from_bytes(raw, NAME)
    assert file in str(caught.value)


def test_a_shard_that_is_not_listed_is_missed() -> None:
    raw = replace(MANIFEST, files={}).to_bytes()
    with pytest.raises(CheckpointError, match=r"not list all of its shards: \['rank-00000-of"):
        Manifest.from_bytes(raw, NAME)


def test_a_later_format_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FORMAT", 9)
    raw = MANIFEST.to_bytes()
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match=r"format 9; this version of Trainwright reads 1"):
        Manifest.from_bytes(raw, NAME)
