"""Bytes of a checkpoint that are not what was written: refused, or without any effect."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainwright.checkpoint import Checkpoint, CheckpointStore, CheckpointWriter, Piece
from trainwright.checkpoint.manifest import _seal
from trainwright.errors import CheckpointError
from trainwright.storage import Folder

NAME = "step-00000007-a2"


@dataclass(frozen=True)
class Written:
    """A checkpoint of three ranks in a folder in memory, and what it held when it was written."""

    folder: Folder
    files: dict[str, bytes] = field(repr=False)
    values: dict[str, Any] = field(repr=False)

    def read(self) -> dict[str, Any] | None:
        """All that it holds now; None if it is refused."""
        try:
            checkpoint = CheckpointStore(self.folder).latest()
            return None if checkpoint is None else everything(checkpoint)
        except CheckpointError:
            return None


def everything(checkpoint: Checkpoint) -> dict[str, Any]:
    """Every value of a checkpoint, tensors as bytes."""
    tensors = {
        f"{kind}/{name}": _raw(checkpoint.full(kind, name))
        for kind in checkpoint.kinds()
        for name in checkpoint.names(kind)
    }
    states = [checkpoint.state, *map(checkpoint.rank_state, range(checkpoint.world_size))]
    return {
        **tensors,
        "states": repr([_plain(state) for state in states]),
        "info": repr(checkpoint.info),
        "place": (checkpoint.name, checkpoint.step, checkpoint.world_size, checkpoint.score),
    }


def _raw(tensor: torch.Tensor) -> tuple[Any, ...]:
    flat = tensor.reshape(-1).contiguous()
    return tuple(tensor.shape), tensor.dtype, bytes(flat.view(torch.uint8).numpy())


def _plain(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return _raw(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


@pytest.fixture(scope="module")
def written() -> Iterator[Written]:
    """Pieces that overlap, several dtypes, states with tensors in them."""
    folder = Folder(f"memory://fuzz-{uuid.uuid4().hex}")
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(90, generator=generator)
    writers = [CheckpointWriter(folder, rank, 3) for rank in range(3)]
    for rank, writer in enumerate(writers):
        pieces = [
            Piece("param", "model.w", (9, 10), 30 * rank, weight[30 * rank : 30 * rank + 30]),
            Piece("exp_avg", "model.w", (9, 10), 0, weight.bfloat16()),
            Piece("buffer", f"count.{rank}", (), 0, torch.tensor(rank)),
        ]
        state = {"best": float("nan"), 3: (1, "ü"), "table": torch.arange(5), "deep": [{"a": []}]}
        info = {"score": 0.5, "higher_is_better": True, "lineage": [[1, 3]]}
        writer.save(7, 2, pieces, state, {"random": torch.arange(rank + 1)}, info)
    for writer in writers:
        writer.wait()
    place = folder / "checkpoints" / NAME
    files = {name: place.read_bytes(name) for name in place.names()}
    checkpoint = CheckpointStore(folder).latest()
    assert checkpoint is not None
    yield Written(folder, files, everything(checkpoint))
    folder.remove("")


Change = Callable[[dict[str, bytes]], dict[str, bytes]]
FILES = [
    "manifest.json",
    *(f"rank-{r:05d}-of-00003.{end}" for r in range(3) for end in ("safetensors", "json")),
]


@st.composite
def changes(draw: Any) -> Change:
    """A file whose bytes are flipped, cut, lengthened, moved, repeated; lost, or another's."""
    # The manifest is where most can go wrong.
    name = draw(st.sampled_from(["manifest.json"] * 6 + FILES))
    other = draw(st.sampled_from(FILES))
    kind = draw(
        st.sampled_from(
            ["flip", "set", "cut", "end", "insert", "repeat", "swap", "lose", "other", "space"]
        )
    )
    place, far = draw(st.integers(0, 1 << 20)), draw(st.integers(0, 1 << 20))
    few = draw(st.binary(min_size=1, max_size=6) | st.sampled_from([b"[" * 9999, b"9" * 5000]))
    bit = draw(st.integers(0, 7))

    def change(files: dict[str, bytes]) -> dict[str, bytes]:
        raw = files[name]
        at, to = sorted((place % len(raw), far % len(raw)))
        changed = {
            "flip": raw[:at] + bytes([raw[at] ^ 1 << bit]) + raw[at + 1 :],
            "set": raw[:at] + few + raw[at + len(few) :],
            "cut": raw[:at] + raw[to:],
            "end": raw[:at],
            "insert": raw[:at] + few + raw[at:],
            "repeat": raw[:to] + raw[at:],
            "swap": raw[to:] + raw[at:to] + raw[:at],
            "other": files[other],
            "space": raw.replace(b", ", b",\n \t", 1 + at % 9),
            "lose": b"",
        }[kind]
        rest = {key: value for key, value in files.items() if key != name}
        return rest if kind == "lose" else {**rest, name: changed}

    return change


def check(written: Written, change: Change) -> None:
    files = change(dict(written.files))
    place = written.folder / "checkpoints" / NAME
    differing = [name for name, content in written.files.items() if files.get(name) != content]
    try:
        for name in differing:
            place.remove(name)
            if name in files:
                place.write_bytes(name, files[name])
        found = written.read()
    finally:
        for name in differing:
            place.write_bytes(name, written.files[name])
    assert found is None or found == written.values


QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=300, suppress_health_check=QUIET)
@given(change=changes())
def test_changed_bytes_are_refused_or_without_effect(written: Written, change: Change) -> None:
    check(written, change)


@pytest.mark.slow
@settings(max_examples=8000, suppress_health_check=QUIET)
@given(change=changes())
def test_thousands_of_changed_bytes(written: Written, change: Change) -> None:
    check(written, change)


WRONG = [
    *(None, True, -1, 0, 3, 2**70, 1e300, [], [[]], {}, [10**12], ["x", 0, 9]),
    *("", "../../x", "F32", "rank-00001-of-00003.safetensors"),
    *({"$tensor": "0"}, {"$int": "zz"}, {"$what": 1}, {"$float": "00"}, {"$dict": [[[], 1]]}),
]


@st.composite
def forgeries(draw: Any) -> Callable[[Any], Any]:
    """A manifest with a right checksum in which one value is another, lost or there twice."""
    turns = draw(st.lists(st.integers(0, 1 << 16), min_size=8, max_size=8))
    wrong = draw(st.sampled_from(WRONG))
    kind = draw(st.sampled_from(["replace", "remove", "repeat"]))

    def forge(body: Any) -> Any:
        node, parent, key = body, None, None
        for turn in turns:
            if not isinstance(node, (dict, list)) or not node or (parent and turn % 4 == 0):
                break
            keys = list(node) if isinstance(node, dict) else range(len(node))
            parent, key = node, keys[turn % len(keys)]
            node = parent[key]
        if kind == "replace":
            parent[key] = wrong
        elif kind == "remove":
            del parent[key]
        elif isinstance(parent, list):
            parent.append(node)
        return body

    return forge


def check_forgery(written: Written, forge: Callable[[Any], Any]) -> None:
    """Whoever can write checksums may make us read other values, but nothing worse."""
    body = json.loads(written.files["manifest.json"])
    del body["checksum"]
    forged = forge(body)
    forged.pop("format", None)
    place = written.folder / "checkpoints" / NAME
    try:
        place.write_bytes("manifest.json", _seal(forged))
        written.read()
    finally:
        place.write_bytes("manifest.json", written.files["manifest.json"])


@settings(max_examples=200, suppress_health_check=QUIET)
@given(forge=forgeries())
def test_a_forged_manifest_is_refused_or_read(written: Written, forge: Any) -> None:
    check_forgery(written, forge)


@pytest.mark.slow
@settings(max_examples=8000, suppress_health_check=QUIET)
@given(forge=forgeries())
def test_thousands_of_forged_manifests(written: Written, forge: Any) -> None:
    check_forgery(written, forge)


@pytest.mark.parametrize("name", FILES)
def test_a_folder_in_the_place_of_a_file(tmp_path: Any, written: Written, name: str) -> None:
    place = tmp_path / "checkpoints" / NAME
    place.mkdir(parents=True)
    for file, content in written.files.items():
        if file == name:
            (place / file).mkdir()
        else:
            (place / file).write_bytes(content)
    found = Written(Folder(str(tmp_path)), {}, {}).read()
    # Sidecars have done their service once the manifest is there.
    assert (found is None) == (not name.startswith("rank") or name.endswith("safetensors"))
