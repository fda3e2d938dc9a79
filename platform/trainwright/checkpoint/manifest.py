"""The JSON files of a checkpoint folder: a sidecar per shard, and the manifest that commits it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from trainwright.checkpoint.files import FileRecord
from trainwright.checkpoint.pieces import Index, index_from_json, index_to_json, walk, whole
from trainwright.checkpoint.state import JSON
from trainwright.errors import CheckpointError

FOLDER = "checkpoints"
MANIFEST = "manifest.json"
FORMAT = 1

_NAME = re.compile(r"^step-(\d{8,})-a(\d+)(?:-r(\d+))?$")
_T = TypeVar("_T")


@dataclass(frozen=True, order=True)
class CheckpointName:
    """Which attempt wrote a checkpoint at which step; ordered oldest first.

    An attempt continues from a checkpoint that was there when it began, so whatever a later
    attempt wrote supersedes all of an earlier one, also what a stale worker wrote afterwards.
    Revisions are further checkpoints of one step: weights can change between two phases.
    """

    attempt: int
    step: int
    revision: int = 0

    def __str__(self) -> str:
        again = f"-r{self.revision}" if self.revision else ""
        return f"step-{self.step:08d}-a{self.attempt}{again}"

    @classmethod
    def parse(cls, text: str) -> CheckpointName | None:
        """The name in a folder's name, or None when the folder is no checkpoint's."""
        match = _NAME.match(text)
        return cls(int(match[2]), int(match[1]), int(match[3] or 0)) if match else None

    def to_json(self) -> dict[str, int]:
        """As part of a file; the revision only where there is one."""
        revision = {"revision": self.revision} if self.revision else {}
        return {"step": self.step, "attempt": self.attempt, **revision}

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> CheckpointName:
        """From the content of a file that holds ``to_json``.

        Raises:
            ValueError: it does not.
        """
        numbers = body["attempt"], body["step"], body.get("revision", 0)
        if not all(whole(number) for number in numbers):
            raise ValueError(f"{numbers!r} name no checkpoint")
        return cls(*numbers)


def shard_name(rank: int, world_size: int) -> str:
    """File name of the shard that ``rank`` writes."""
    return f"rank-{rank:05d}-of-{world_size:05d}.safetensors"


def sidecar_name(rank: int, world_size: int) -> str:
    """File name of the sidecar that says ``rank`` has finished its shard."""
    return f"rank-{rank:05d}-of-{world_size:05d}.json"


@dataclass(frozen=True)
class Sidecar:
    """What one rank wrote; present only when its shard is whole.

    Attributes:
        name: the checkpoint.
        rank: the rank that wrote it.
        world_size: number of ranks.
        record: size and checksums of the shard.
        index: the tensors of which the shard holds pieces.
        rank_state: the packed state of this rank alone.
    """

    name: CheckpointName
    rank: int
    world_size: int
    record: FileRecord
    index: Index
    rank_state: JSON

    @property
    def shard(self) -> str:
        """File name of the shard it belongs to."""
        return shard_name(self.rank, self.world_size)

    def to_bytes(self) -> bytes:
        """The content of the file."""
        return _seal(
            {
                **self.name.to_json(),
                "rank": self.rank,
                "world_size": self.world_size,
                "record": _record_to_json(self.record),
                "rank_state": self.rank_state,
                "index": index_to_json(self.index),
            }
        )

    @classmethod
    def from_bytes(cls, raw: bytes, file: str) -> Sidecar:
        """Read the content of ``file``.

        Raises:
            CheckpointError: it is damaged.
        """
        return _unseal(
            raw,
            file,
            lambda body: cls(
                CheckpointName.from_json(body),
                body["rank"],
                body["world_size"],
                _record_from_json(body["record"]),
                index_from_json(body["index"]),
                body["rank_state"],
            ),
        )


@dataclass(frozen=True)
class Manifest:
    """All about a finished checkpoint; written last, so its presence says that the rest is there.

    Attributes:
        name: the checkpoint.
        world_size: number of ranks that wrote it.
        info: packed plain values: epoch, metrics, score...
        state: the packed global state.
        rank_states: the packed states of the ranks, by rank.
        files: size and checksums of each shard.
        index: where each tensor's pieces are.
    """

    name: CheckpointName
    world_size: int
    info: JSON
    state: JSON
    rank_states: tuple[JSON, ...]
    files: dict[str, FileRecord]
    index: Index

    def to_bytes(self) -> bytes:
        """The content of the file."""
        return _seal(
            {
                **self.name.to_json(),
                "world_size": self.world_size,
                "info": self.info,
                "state": self.state,
                "rank_states": list(self.rank_states),
                "files": {file: _record_to_json(r) for file, r in self.files.items()},
                "index": index_to_json(self.index),
            }
        )

    @classmethod
    def from_bytes(cls, raw: bytes, expected: CheckpointName) -> Manifest:
        """Read the manifest of the checkpoint ``expected``.

        Raises:
            CheckpointError: it is damaged, it belongs to another checkpoint, or it names a file
                that no rank of it writes, such as one outside of its folder.
        """
        manifest = _unseal(
            raw,
            MANIFEST,
            lambda body: cls(
                CheckpointName.from_json(body),
                body["world_size"],
                body["info"],
                body["state"],
                tuple(body["rank_states"]),
                {file: _record_from_json(r) for file, r in body["files"].items()},
                index_from_json(body["index"]),
            ),
        )
        if manifest.name != expected:
            raise CheckpointError(f"{MANIFEST} belongs to {manifest.name}")
        if manifest.world_size != len(manifest.rank_states):
            raise CheckpointError(f"{MANIFEST} is of {manifest.world_size!r} ranks, but not all")
        shards = {shard_name(rank, manifest.world_size) for rank in range(manifest.world_size)}
        if strange := sorted(set(manifest.files) - shards):
            raise CheckpointError(f"{MANIFEST} names files that are none of its shards: {strange}")
        if lost := sorted(shards - set(manifest.files)):
            raise CheckpointError(f"{MANIFEST} does not list all of its shards: {lost}")
        _check_sizes(manifest)
        return manifest


def _check_sizes(manifest: Manifest) -> None:
    """Refuse tensors that are larger than the files in which they lie: nobody makes room for them.

    Raises:
        CheckpointError: a piece lies elsewhere, or is longer than its file; or there are gaps.
    """
    for kind, name, entry in walk(manifest.index):
        for piece in entry.pieces:
            record = manifest.files.get(piece.file)
            if record is None or piece.numel * entry.dtype.itemsize > record.size:
                raise CheckpointError(f"{MANIFEST}: {kind} {name!r} does not fit into {piece.file}")
        if gap := next(entry.gaps(), None):
            raise CheckpointError(
                f"{MANIFEST}: {kind} {name!r}: elements from {gap[0]} are nowhere"
            )


def _record_to_json(record: FileRecord) -> dict[str, JSON]:
    return {
        "size": record.size,
        "chunk_bytes": record.chunk_bytes,
        "sha256": list(record.chunks),
    }


def _record_from_json(value: Any) -> FileRecord:
    size, length, chunks = value["size"], value["chunk_bytes"], tuple(value["sha256"])
    if not (whole(size) and whole(length) and length > 0 and len(chunks) == -(-size // length)):
        raise ValueError(f"{len(chunks)} chunks of {length!r} bytes do not make {size!r}")
    return FileRecord(size, length, chunks)


def _digest(body: dict[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _seal(body: dict[str, Any]) -> bytes:
    """``body`` as JSON text, one line per top-level key, with a checksum over its content."""
    body = {"format": FORMAT, **body}
    body["checksum"] = _digest(body)
    lines = (
        f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in body.items()
    )
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def _unseal(raw: bytes, file: str, build: Callable[[Any], _T]) -> _T:
    try:
        body = json.loads(raw)
        checksum = body.pop("checksum")
        if _digest(body) != checksum:
            raise CheckpointError(f"{file} is not what was written (checksum)")
        if body["format"] != FORMAT:
            raise CheckpointError(
                f"{file} is of format {body['format']}; this version of Trainwright reads {FORMAT}"
            )
        return build(body)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{file} cannot be read: {error!r}") from error
