from __future__ import annotations

import json
from typing import Any

import pytest
import safetensors
import safetensors.torch
import torch
from torch import nn

from trainwright.checkpoint import Checkpoint, Piece, export_weights
from trainwright.errors import CheckpointError
from trainwright.storage import Folder


def make_model(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 3))


def trained() -> nn.Module:
    model = make_model(0)
    model(torch.randn(8, 1, 4, 4)).sum().backward()
    return model.eval()


def split_model(model: nn.Module, world: int) -> list[list[Piece]]:
    ranks: list[list[Piece]] = [[] for _ in range(world)]
    for name, parameter in model.named_parameters():
        share = -(-parameter.numel() // world)
        flat = parameter.reshape(-1)
        for rank in range(world):
            part = flat[rank * share : (rank + 1) * share]
            start = min(rank * share, flat.numel())
            ranks[rank].append(Piece("param", f"model.{name}", parameter.shape, start, part))
            ranks[rank].append(Piece("exp_avg", f"model.{name}", parameter.shape, start, part * 0))
    for name, buffer in model.named_buffers():
        ranks[0].append(Piece("buffer", f"model.{name}", buffer.shape, 0, buffer))
    ranks[0].append(Piece("param", "objective.margin", (1,), 0, torch.ones(1)))
    return ranks


@pytest.fixture
def model() -> nn.Module:
    return trained()


@pytest.fixture
def checkpoint(folder: Folder, save_all: Any, model: nn.Module) -> Checkpoint:
    return save_all(folder, 1, ranks=split_model(model, 3))


def test_the_weights_load_into_a_plain_module(
    checkpoint: Checkpoint, model: nn.Module, folder: Folder
) -> None:
    target = folder / "export"
    assert export_weights(checkpoint, target, metadata={"run": "r1"}) == ["model.safetensors"]
    weights = safetensors.torch.load(target.read_bytes("model.safetensors"))
    fresh = make_model(1).eval()
    fresh.load_state_dict(weights, strict=True)
    x = torch.randn(5, 1, 4, 4)
    assert torch.equal(fresh(x), model(x))
    for name, tensor in model.state_dict().items():
        assert torch.equal(weights[name], tensor)
        assert weights[name].dtype == tensor.dtype
        assert weights[name].shape == tensor.shape


def test_the_header_names_the_format_and_what_was_given(
    local: Folder, save_all: Any, model: nn.Module
) -> None:
    checkpoint = save_all(local, 1, ranks=split_model(model, 1))
    export_weights(checkpoint, local / "export", metadata={"run": "r1"})
    path = (local / "export").local_path() / "model.safetensors"
    with safetensors.safe_open(path, "pt") as file:
        assert file.metadata() == {"format": "pt", "run": "r1"}


def test_larger_models_are_split_with_an_index(
    checkpoint: Checkpoint, model: nn.Module, folder: Folder
) -> None:
    target = folder / "export"
    names = export_weights(checkpoint, target, max_file_bytes=200)
    assert names[-1] == "model.safetensors.index.json"
    total = len(names) - 1
    assert total > 1
    assert names[0] == f"model-00001-of-{total:05d}.safetensors"
    assert sorted(names) == target.names()
    index = json.loads(target.read_bytes("model.safetensors.index.json"))
    expected = model.state_dict()
    size = sum(t.numel() * t.element_size() for t in expected.values())
    assert index["metadata"]["total_size"] == size
    assert index["weight_map"].keys() == expected.keys()
    loaded: dict[str, torch.Tensor] = {}
    for file in names[:-1]:
        part = safetensors.torch.load(target.read_bytes(file))
        assert all(index["weight_map"][name] == file for name in part)
        assert len(part) == 1 or sum(t.numel() * t.element_size() for t in part.values()) <= 200
        loaded.update(part)
    make_model(1).load_state_dict(loaded, strict=True)
    assert all(torch.equal(loaded[name], tensor) for name, tensor in expected.items())


def test_a_new_export_leaves_nothing_of_the_one_before(
    checkpoint: Checkpoint, folder: Folder
) -> None:
    target = folder / "export"
    target.write_bytes("model_card.md", b"mine")
    export_weights(checkpoint, target)
    split = export_weights(checkpoint, target, max_file_bytes=200)
    assert target.names() == sorted([*split, "model_card.md"])
    export_weights(checkpoint, target)
    assert target.names() == ["model.safetensors", "model_card.md"]


def test_another_prefix_and_none_that_fits(checkpoint: Checkpoint, folder: Folder) -> None:
    export_weights(checkpoint, folder / "objective", prefix="objective.")
    weights = safetensors.torch.load((folder / "objective").read_bytes("model.safetensors"))
    assert list(weights) == ["margin"]
    with pytest.raises(CheckpointError, match="begins with 'teacher"):
        export_weights(checkpoint, folder / "none", prefix="teacher.")
    assert not (folder / "none").exists()


def test_half_precision_and_a_dtype_without_a_name(memory: Folder, save_all: Any) -> None:
    half = torch.randn(4).to(torch.bfloat16)
    ranks = [[Piece("param", "model.w", (4,), 0, half)]]
    export_weights(save_all(memory, 1, ranks=ranks), memory / "export")
    weights = safetensors.torch.load((memory / "export").read_bytes("model.safetensors"))
    assert torch.equal(weights["w"], half)
    ranks = [[Piece("param", "model.w", (2,), 0, torch.ones(2, dtype=torch.complex128))]]
    with pytest.raises(CheckpointError, match="complex128"):
        export_weights(save_all(memory, 2, ranks=ranks), memory / "other")


def test_damage_stops_the_export(checkpoint: Checkpoint, folder: Folder) -> None:
    shard = "rank-00002-of-00003.safetensors"
    raw = checkpoint.folder.read_bytes(shard)
    checkpoint.folder.write_bytes(shard, raw[:-1] + bytes([raw[-1] ^ 1]))
    with pytest.raises(CheckpointError, match="checksum"):
        export_weights(checkpoint, folder / "export")
