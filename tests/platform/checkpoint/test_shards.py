from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
import safetensors
import safetensors.torch
import torch

from trainwright.checkpoint import files
from trainwright.checkpoint.dtypes import dtype_from_header, dtype_from_name
from trainwright.checkpoint.files import FileRecord, file_sizes, write_file
from trainwright.checkpoint.shards import Shard, ShardTensor, write_shard
from trainwright.checkpoint.verified import ChunkCache, VerifiedFile
from trainwright.errors import CheckpointError
from trainwright.storage import Folder

NAMED = [
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.uint16,
    torch.uint32,
    torch.uint64,
    torch.bool,
    torch.float8_e4m3fn,
    torch.float8_e5m2,
]
RAW = [torch.complex64, torch.complex128, torch.float8_e4m3fnuz]


def shard_tensors(tensors: dict[str, torch.Tensor]) -> list[ShardTensor]:
    return [ShardTensor(key, tuple(t.shape), t.dtype, lambda t=t: t) for key, t in tensors.items()]


def opened(folder: Folder, name: str, record: FileRecord) -> Shard:
    return Shard(VerifiedFile(folder, name, record, ChunkCache()), name)


def bits(tensor: torch.Tensor) -> bytes:
    return bytes(tensor.reshape(-1).view(torch.uint8).numpy())


def sample(dtype: torch.dtype, numel: int = 24) -> torch.Tensor:
    if dtype is torch.bool:
        return torch.arange(numel) % 3 == 0
    raw = torch.randint(0, 256, (numel * dtype.itemsize,), dtype=torch.uint8)
    return raw.view(dtype)


@pytest.mark.parametrize("dtype", NAMED, ids=str)
def test_the_safetensors_library_reads_the_file(local: Folder, dtype: torch.dtype) -> None:
    tensors = {
        "a|x|0": sample(dtype).reshape(2, 3, 4),
        "scalar": sample(dtype, 1).reshape(()),
        "none": sample(dtype, 0).reshape(0, 3),
        "odd": sample(torch.uint8, 3),
        "wide": sample(torch.float64, 2),
    }
    record = write_shard(local, "s.safetensors", shard_tensors(tensors), {"format": "pt", "k": "v"})
    path = str(local.local_path() / "s.safetensors")
    loaded = safetensors.torch.load_file(path)
    assert loaded.keys() == tensors.keys()
    for key, tensor in tensors.items():
        assert loaded[key].dtype == tensor.dtype
        assert loaded[key].shape == tensor.shape
        assert bits(loaded[key]) == bits(tensor)
        assert bits(opened(local, "s.safetensors", record).tensor(key)) == bits(tensor)
    with safetensors.safe_open(path, "pt") as handle:
        assert handle.metadata() == {"format": "pt", "k": "v"}


@pytest.mark.parametrize("dtype", RAW, ids=str)
def test_unknown_dtypes_are_kept_as_bytes(local: Folder, dtype: torch.dtype) -> None:
    tensor = sample(dtype)
    record = write_shard(local, "s.safetensors", shard_tensors({"x": tensor}), {})
    loaded = safetensors.torch.load_file(str(local.local_path() / "s.safetensors"))["x"]
    assert loaded.dtype is torch.uint8
    assert bits(loaded) == bits(tensor)
    back = opened(local, "s.safetensors", record).elements("x", 5, 7, dtype)
    assert back.dtype is dtype
    assert bits(back) == bits(tensor[5:12])


def test_an_empty_shard_is_a_valid_file(folder: Folder) -> None:
    record = write_shard(folder, "s.safetensors", [], {})
    assert opened(folder, "s.safetensors", record).keys() == []
    assert safetensors.torch.load(folder.read_bytes("s.safetensors")) == {}


def test_duplicate_keys_are_refused(memory: Folder) -> None:
    twice = shard_tensors({"x": torch.ones(1)}) * 2
    with pytest.raises(CheckpointError, match="same key"):
        write_shard(memory, "s.safetensors", twice, {})


def test_ranges_of_a_tensor_over_many_chunks(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "CHUNK_BYTES", 16)
    tensor = torch.arange(3000, dtype=torch.int16)
    tensors = {"x": tensor, "y": torch.arange(7)}
    record = write_shard(folder, "s.safetensors", shard_tensors(tensors), {})
    assert record.chunk_bytes == 16
    assert len(record.chunks) == -(-record.size // 16)
    shard = opened(folder, "s.safetensors", record)
    for start, numel in [(0, 3000), (0, 1), (2999, 1), (7, 2000), (8, 8), (100, 0), (5, 3)]:
        back = shard.elements("x", start, numel, torch.int16)
        assert torch.equal(back, tensor[start : start + numel])


def test_elements_outside_or_of_another_dtype_are_refused(memory: Folder) -> None:
    record = write_shard(memory, "s.safetensors", shard_tensors({"x": torch.ones(4)}), {})
    shard = opened(memory, "s.safetensors", record)
    for key, start, numel, dtype in [
        ("x", 2, 3, torch.float32),
        ("x", 0, 4, torch.int32),
        ("y", 0, 1, torch.float32),
    ]:
        with pytest.raises(CheckpointError, match="manifest says"):
            shard.elements(key, start, numel, dtype)


def test_every_flipped_byte_is_found(memory: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "CHUNK_BYTES", 64)
    record = write_shard(memory, "s", shard_tensors({"x": torch.arange(40)}), {})
    whole = memory.read_bytes("s")
    opened(memory, "s", record).file.verify()
    for place in range(len(whole)):
        memory.write_bytes("s", whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(CheckpointError, match=r"s: bytes .*checksum"):
            opened(memory, "s", record).file.verify()


def test_damage_elsewhere_does_not_hide_what_is_whole(
    memory: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "CHUNK_BYTES", 64)
    record = write_shard(memory, "s", shard_tensors({"x": torch.arange(400)}), {})
    whole = memory.read_bytes("s")
    memory.write_bytes("s", whole[:-1] + b"!")
    shard = opened(memory, "s", record)
    assert torch.equal(shard.elements("x", 0, 300, torch.int64), torch.arange(300))
    with pytest.raises(CheckpointError, match="checksum"):
        shard.elements("x", 399, 1, torch.int64)


def test_the_record_is_what_sha256_says(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "CHUNK_BYTES", 10)
    content = bytes(range(95))
    parts = [memoryview(content[:3]), memoryview(b""), memoryview(content[3:60])]
    record = write_file(folder, "f", [*parts, memoryview(content[60:])])
    assert folder.read_bytes("f") == content
    expected = [hashlib.sha256(content[i : i + 10]).hexdigest() for i in range(0, 95, 10)]
    assert record == FileRecord(95, 10, tuple(expected))
    assert file_sizes(folder) == {"f": 95}


def test_a_store_gets_a_file_in_parts_and_never_in_more_than_it_takes(
    memory: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    opened_by = memory.fs.open

    def noted(path: str, mode: str, block_size: int) -> Any:
        asked.append(block_size)
        return opened_by(path, mode, block_size=block_size)

    monkeypatch.setattr(memory.fs, "open", noted)
    write_file(memory, "f", [memoryview(b"x" * 100)], size=100)
    write_file(memory, "f", [memoryview(b"x")], size=10**12)
    assert asked[0] == 16 << 20
    assert 10**12 / asked[1] < 10_000


def test_an_interrupted_local_write_leaves_nothing(local: Folder) -> None:
    def parts():
        yield memoryview(b"begun")
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        write_file(local, "f", parts())
    assert local.names() == []


def test_no_final_name_before_the_file_is_whole(local: Folder) -> None:
    def parts():
        yield memoryview(b"first")
        assert [name for name in local.names() if not name.endswith(".part")] == []
        yield memoryview(b"second")

    write_file(local, "f", parts())
    assert local.names() == ["f"]


def test_sizes_of_a_folder_that_is_not_there(folder: Folder) -> None:
    assert file_sizes(folder / "absent") == {}


def test_the_cache_lets_go_of_the_oldest() -> None:
    cache = ChunkCache(limit_bytes=20)
    for index in range(3):
        cache.put("f", index, b"x" * 10)
        cache.get("f", 0)
    assert [cache.get("f", index) is not None for index in range(3)] == [True, False, True]


def test_what_is_kept_stays_until_it_is_released() -> None:
    cache = ChunkCache(limit_bytes=20)
    cache.make_room(25)
    for index in range(3):
        cache.keep("f", index, memoryview(b"k" * 10))
    for index in range(10, 20):
        cache.put("f", index, b"x" * 10)
    assert [index for index in range(20) if ("f", index) in cache] == [0, 1, 18, 19]
    assert cache.get("f", 0) == b"k" * 10
    cache.release()
    cache.keep("f", 5, memoryview(b"k"))
    assert [index for index in range(20) if ("f", index) in cache] == [18, 19]


def test_what_was_checked_and_kept_is_not_fetched_again(
    memory: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = bytes(torch.arange(2000).numpy().astype("uint8"))
    memory.write_bytes("s", whole)
    sums = [hashlib.sha256(whole[at : at + 64]).hexdigest() for at in range(0, 2000, 64)]
    cache = ChunkCache()
    file = VerifiedFile(memory, "s", FileRecord(2000, 64, tuple(sums)), cache)
    fetched: list[tuple[int, int]] = []
    fetch = type(memory.fs).cat_ranges

    def noted(self: object, paths: object, starts: list[int], ends: list[int], **more: object):
        fetched.extend(zip(starts, ends, strict=True))
        return fetch(self, paths, starts, ends, **more)

    monkeypatch.setattr(type(memory.fs), "cat_ranges", noted)
    cache.make_room(64 * 5)
    file.verify(10, 14)
    fetched.clear()
    assert bytes(file.read(64 * 3 + 7, 64 * 20 - 9).numpy()) == whole[64 * 3 + 7 : 64 * 20 - 9]
    again = {start // 64 + n for start, end in fetched for n in range((end - start + 63) // 64)}
    assert again == {*range(3, 10), *range(15, 20)}


@pytest.mark.parametrize("number", [1, 7, 8, 9, 100])
def test_checks_go_over_every_chunk_once_and_share_small_files(memory: Folder, number: int) -> None:
    file = VerifiedFile(memory, "s", FileRecord(number * 64, 64, ("",) * number), ChunkCache())
    spans = list(file.spans())
    assert [chunk for low, high in spans for chunk in range(low, high + 1)] == [*range(number)]
    assert max(high - low for low, high in spans) < 8


def test_small_reads_nearby_fetch_once(memory: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    record = write_shard(memory, "s", shard_tensors({"x": torch.arange(400)}), {})
    shard = opened(memory, "s", record)
    shard.elements("x", 0, 1, torch.int64)
    monkeypatch.setattr(type(memory.fs), "cat_ranges", None)
    assert shard.elements("x", 300, 2, torch.int64).tolist() == [300, 301]


def test_unknown_names_of_dtypes() -> None:
    with pytest.raises(ValueError, match="nn"):
        dtype_from_name("nn")
    with pytest.raises(ValueError, match="F4"):
        dtype_from_header("F4")


def test_the_header_is_plain_json(memory: Folder) -> None:
    write_shard(memory, "s", shard_tensors({"x": torch.ones(3, dtype=torch.bfloat16)}), {"a": "b"})
    raw = memory.read_bytes("s")
    length = int.from_bytes(raw[:8], "little")
    assert length % 8 == 0
    assert json.loads(raw[8 : 8 + length]) == {
        "__metadata__": {"a": "b"},
        "x": {"dtype": "BF16", "shape": [3], "data_offsets": [0, 6]},
    }
