"""The whole way over an S3 server on loopback."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from trainwright.checkpoint import CheckpointStore, CheckpointWriter, Piece, export_weights
from trainwright.errors import CheckpointError
from trainwright.storage import Folder


def test_checkpoints_live_in_a_bucket(s3: Folder, save_all: Any) -> None:
    weight = torch.randn(3_000_000)  # 12 MB: more than one request
    cut = 1_234_567
    for step in (1, 2, 3):
        ranks = [
            [Piece("param", "model.w", (3000, 1000), 0, weight[:cut] + step)],
            [Piece("param", "model.w", (3000, 1000), cut, weight[cut:] + step)],
        ]
        states = [{"rng": torch.full((5,), rank)} for rank in range(2)]
        save_all(s3, step, ranks=ranks, state={"step": step}, rank_states=states, keep_last=2)
    store = CheckpointStore(s3)
    assert [c.step for c in store.list()] == [2, 3]
    latest = store.latest()
    assert store.warnings == []
    assert torch.equal(latest.full("param", "model.w").reshape(-1), weight + 3)
    part = latest.read("param", "model.w", cut - 10, 20)
    assert torch.equal(part, weight[cut - 10 : cut + 10] + 3)
    assert latest.state == {"step": 3}
    assert latest.rank_state(1)["rng"].tolist() == [1] * 5

    shard = "rank-00001-of-00002.safetensors"
    raw = latest.folder.read_bytes(shard)
    latest.folder.write_bytes(shard, raw[:5_000_000] + b"\x01" + raw[5_000_001:])
    assert store.latest().step == 2
    assert f"{latest.name} cannot be used: {shard}" in store.warnings[0]
    with pytest.raises(CheckpointError, match="checksum"):
        store.at(3).full("param", "model.w")
    latest.folder.remove(shard)
    assert store.latest(verify="sizes").step == 2

    assert export_weights(store.at(2), s3 / "export") == ["model.safetensors"]
    assert (s3 / "export").names() == ["model.safetensors"]


def test_a_checkpoint_takes_few_requests(s3: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes tens of milliseconds at a store that is far away, one after another."""
    import s3fs

    requests: list[str] = []
    call = s3fs.S3FileSystem._call_s3

    async def counted(store: Any, method: str, *arguments: Any, **options: Any) -> Any:
        requests.append(method)
        return await call(store, method, *arguments, **options)

    writer = CheckpointWriter(s3, 0, 1, keep_last=1)
    for step in (1, 2):
        requests.clear()
        writer.save(step, 1, [Piece("param", "model.w", (3,), 0, torch.ones(3))], {}, None, {})
        writer.wait()
        monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", counted)
    assert requests.count("get_object") == 1, "of what is there, the manifest of the one before"
    assert len(requests) <= 16
    assert [c.step for c in CheckpointStore(s3).list()] == [2]


def test_a_bucket_that_is_missing_is_made(s3: Folder) -> None:
    other = Folder("s3://another/runs/one")
    other.write_json("job.json", {"seed": 1})
    assert other.read_json("job.json") == {"seed": 1}
    other.remove_file("job.json")
    other.remove_file("job.json")
    other.remove("job.json")
    assert other.names() == []
