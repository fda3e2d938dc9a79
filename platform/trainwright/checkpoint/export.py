"""Model weights out of a checkpoint, as plain safetensors that any tool loads."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch

from trainwright.checkpoint.dtypes import RAW, dtype_name, header_name
from trainwright.checkpoint.reader import Checkpoint
from trainwright.checkpoint.shards import ShardTensor, write_shard
from trainwright.errors import CheckpointError
from trainwright.storage import Folder

KINDS = ("param", "buffer")
INDEX = "model.safetensors.index.json"

_OURS = re.compile(r"^model(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?$")


def export_weights(
    checkpoint: Checkpoint,
    target: Folder,
    *,
    prefix: str = "model.",
    metadata: Mapping[str, str] | None = None,
    aliases: Mapping[str, str] | None = None,
    max_file_bytes: int = 5_000_000_000,
) -> list[str]:
    """Write all parameters and buffers under ``prefix`` with the names of the model's state dict.

    One file ``model.safetensors``; larger models become ``model-00001-of-0000N.safetensors`` with
    ``model.safetensors.index.json`` (total size, and the file of each name). One tensor is in
    memory at a time. Files of an earlier export in the same folder are replaced.

    Args:
        checkpoint: where to read from.
        target: the folder to write to.
        prefix: names that begin with it are exported, without it.
        metadata: further text for the header of each file.
        aliases: further names of tied parameters -> the name under which each is kept; they are
            written as tensors of their own.
        max_file_bytes: size of the tensors in one file; a single larger tensor is not divided.

    Returns:
        Names of the files written.

    Raises:
        CheckpointError: nothing has the prefix, a dtype that safetensors does not know, or damage.
    """
    return _write(_tensors(checkpoint, prefix, aliases or {}), target, metadata, max_file_bytes)


def export_state(
    state: Mapping[str, torch.Tensor],
    target: Folder,
    *,
    metadata: Mapping[str, str] | None = None,
    max_file_bytes: int = 5_000_000_000,
) -> list[str]:
    """Write a state dict as :func:`export_weights` writes a checkpoint's weights."""
    tensors = [
        ShardTensor(name, tuple(value.shape), value.dtype, partial(value.detach().to, "cpu"))
        for name, value in state.items()
    ]
    return _write(tensors, target, metadata, max_file_bytes)


def _write(
    tensors: Sequence[ShardTensor],
    target: Folder,
    metadata: Mapping[str, str] | None,
    max_file_bytes: int,
) -> list[str]:
    groups = _groups(tensors, max_file_bytes)
    files = _file_names(len(groups))
    header = {"format": "pt", **(metadata or {})}
    for file, group in zip(files, groups, strict=True):
        write_shard(target, file, group, header)
    if len(groups) > 1:
        target.write_json(INDEX, _index(files, groups))
        files.append(INDEX)
    for name in target.names():
        if _OURS.match(name) and name not in files:
            target.remove(name)
    return files


def _file_names(total: int) -> list[str]:
    if total == 1:
        return ["model.safetensors"]
    return [f"model-{i:05d}-of-{total:05d}.safetensors" for i in range(1, total + 1)]


def _tensors(checkpoint: Checkpoint, prefix: str, aliases: Mapping[str, str]) -> list[ShardTensor]:
    tensors = []
    for kind in KINDS:
        known = checkpoint.names(kind)
        tied = [(alias, name) for alias, name in aliases.items() if name in known]
        for alias, name in [*zip(known, known, strict=True), *tied]:
            if not alias.startswith(prefix):
                continue
            dtype = checkpoint.dtype(kind, name)
            if header_name(dtype) == RAW and dtype is not torch.uint8:
                raise CheckpointError(
                    f"{kind} {name!r}: safetensors has no dtype {dtype_name(dtype)}"
                )
            key, shape = alias.removeprefix(prefix), checkpoint.shape(kind, name)
            tensors.append(ShardTensor(key, shape, dtype, _loader(checkpoint, kind, name)))
    if not tensors:
        raise CheckpointError(f"{checkpoint.name}: no parameter or buffer begins with {prefix!r}")
    return tensors


def _loader(checkpoint: Checkpoint, kind: str, name: str) -> Callable[[], torch.Tensor]:
    return lambda: checkpoint.full(kind, name)


def _groups(tensors: Sequence[ShardTensor], max_file_bytes: int) -> list[list[ShardTensor]]:
    groups: list[list[ShardTensor]] = [[]]
    size = 0
    for tensor in tensors:
        if groups[-1] and size + tensor.num_bytes > max_file_bytes:
            groups.append([])
            size = 0
        groups[-1].append(tensor)
        size += tensor.num_bytes
    return groups


def _index(files: Sequence[str], groups: Sequence[Sequence[ShardTensor]]) -> dict[str, object]:
    return {
        "metadata": {"total_size": sum(t.num_bytes for group in groups for t in group)},
        "weight_map": {
            t.key: file for file, group in zip(files, groups, strict=True) for t in group
        },
    }
