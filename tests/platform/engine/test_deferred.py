"""Modules built without their weights get, one by one, the weights of an ordinary construction."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from trainwright.engine import deferred as module_under_test
from trainwright.engine.deferred import Deferred
from trainwright.models.convnet import ConvNet
from trainwright.models.gpt import GPT
from trainwright.models.hf import hf
from trainwright.models.mlp import MLP
from trainwright.models.resnet import ResNet
from trainwright.models.unet import UNet
from trainwright.models.vit import ViT


@pytest.fixture(autouse=True)
def nearly_all_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module_under_test, "SMALL", 60)


class Initialised(nn.Module):
    """What constructors do to weights, each kind once."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(20, 30), nn.Linear(30, 20)
        nn.init.orthogonal_(self.first.weight)
        nn.init.trunc_normal_(self.second.weight, std=0.02, a=-0.02, b=0.02)
        with torch.no_grad():
            self.second.weight[:10].fill_(3.0)
            self.second.weight.data[2:4].normal_()
            self.first.weight *= torch.linspace(0, 1, 20)
            self.first.weight.div_(self.first.weight.norm())
            self.second.bias.copy_(self.first.weight.sum(0))
        self.scaled = nn.Parameter(torch.randn(20, 20) / 20**0.5)
        self.copied = nn.Parameter(self.scaled.detach().clone() * 2, requires_grad=False)
        self.turned = nn.Parameter(torch.rand(10, 20).t())
        own = torch.Generator().manual_seed(5)
        self.drawn = nn.Parameter(torch.randn(30, 30, generator=own))
        self.again = nn.Parameter(torch.rand(30, 30, generator=own))
        self.masked = nn.Parameter(torch.bernoulli(torch.full((20, 20), 0.3)))
        self.given = nn.Parameter(torch.from_numpy(np.ones((9, 9), dtype="float32")))
        self.register_buffer("causal", torch.tril(torch.ones(40, 40)).bool())
        self.permutation = torch.randperm(300)
        self.register_buffer("order", self.permutation.float())
        del self.permutation


class Observant(nn.Module):
    """Looks at values and devices on the way, and draws in between."""

    def __init__(self) -> None:
        super().__init__()
        self.rates = [rate.item() for rate in torch.linspace(0, 0.1, 100)]
        layer = nn.Linear(20, 20)
        if layer.weight.device.type != "cpu" or layer.weight.is_meta:
            raise RuntimeError("not where it belongs")
        if layer.weight.abs().max() > 0.1:
            self.width = int(torch.randint(10, 20, (1,)))
        self.layers = nn.ModuleList(copy.deepcopy(layer) for _ in range(2))
        self.register_buffer("table", torch.rand(10, 10))
        self.other = copy.deepcopy(
            nn.ModuleDict({"inner": self.layers[0], "outer": nn.BatchNorm1d(80)})
        )
        self.more = nn.Parameter(torch.randn(self.width, 20, device=layer.weight.device))
        self.first_value = float(self.more[0, 0].detach())


class Layers(nn.Module):
    """Layers of torch with habits of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(12, 16, 2)
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.attention = nn.MultiheadAttention(16, 2)
        self.bilinear = nn.Bilinear(5, 6, 7)
        self.upwards = nn.ConvTranspose2d(4, 5, 3)
        self.normed = nn.utils.parametrizations.weight_norm(nn.Linear(20, 20))
        self.spectral = nn.utils.parametrizations.spectral_norm(nn.Linear(20, 20))
        self.skipped = nn.utils.skip_init(nn.Linear, 20, 20)
        nn.init.kaiming_normal_(self.skipped.weight)
        nn.init.zeros_(self.skipped.bias)


MODELS: dict[str, Callable[[], nn.Module]] = {
    "initialised": Initialised,
    "observant": Observant,
    "layers": Layers,
    "mlp": lambda: MLP(16, 4, hidden=[20, 20]),
    "convnet": lambda: ConvNet(3, 10, width=4),
    "resnet": lambda: ResNet(3, 10, depth=8, width=4),
    "vit": lambda: ViT(3, 8, 10, dim=16, depth=2, heads=2),
    "unet": lambda: UNet(3, 4, width=4),
    "gpt": lambda: GPT(50, 16, dim=16, depth=2, heads=2),
    "gpt-untied": lambda: GPT(50, 16, dim=16, depth=2, heads=2, tie_embeddings=False),
}
HF = {
    "gpt2": {"n_layer": 2, "n_head": 2, "n_embd": 32, "vocab_size": 50, "n_positions": 32},
    "llama": {
        "num_hidden_layers": 2,
        "hidden_size": 32,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "intermediate_size": 48,
        "vocab_size": 50,
        "max_position_embeddings": 32,
    },
}


def assert_the_same(make: Callable[[], nn.Module], needs: int = 1) -> nn.Module:
    """Built in parts it is what it is built whole, and so is what is drawn after it."""
    torch.manual_seed(3)
    whole, drawn = make(), torch.rand(5)
    torch.manual_seed(3)
    deferred = Deferred()
    with deferred:
        parts = make()
    assert torch.equal(torch.rand(5), drawn), "the generator stands elsewhere"
    tensors = [*parts.parameters(), *parts.buffers()]
    assert sum(deferred.holds(t) for t in tensors) >= needs, "nothing was put off"
    places = {name: id(t) for name, t in parts.named_parameters()}
    for tensor in reversed(tensors):  # in any order
        deferred.make(tensor)
    assert {name: id(t) for name, t in parts.named_parameters()} == places
    assert not any(t.is_meta or deferred.holds(t) for t in tensors)
    for (name, mine), theirs in zip(
        [*parts.named_parameters(), *parts.named_buffers()],
        [*whole.parameters(), *whole.buffers()],
        strict=True,
    ):
        assert torch.equal(mine, theirs), name
        assert mine.stride() == theirs.stride(), name
        assert (type(mine), mine.requires_grad) == (type(theirs), theirs.requires_grad), name
    return parts


@pytest.mark.parametrize("name", MODELS)
def test_weights_are_those_of_an_ordinary_construction(name: str) -> None:
    assert_the_same(MODELS[name])


@pytest.mark.parametrize("kind", HF)
def test_models_of_transformers_too(kind: str) -> None:
    pytest.importorskip("transformers")
    assert_the_same(lambda: hf({"model_type": kind, **HF[kind]}))


def test_a_folder_of_transformers_is_read_as_ever(tmp_path: object) -> None:
    pytest.importorskip("transformers")
    torch.manual_seed(1)
    hf({"model_type": "gpt2", **HF["gpt2"]}).network.save_pretrained(tmp_path)  # type: ignore[operator, union-attr]
    path, task = str(tmp_path), "sequence_classification"
    # The folder's weights are whole at once; those of the head, which it lacks, are put off.
    assert_the_same(lambda: hf(path=path, task=task, out_features=3))  # type: ignore[arg-type]


def test_tied_weights_stay_tied_and_references_stay_right() -> None:
    deferred = Deferred()
    with deferred:
        model = GPT(50, 16, dim=16, depth=2, heads=2)
        kept = [model.tokens.weight]
    optimizer = torch.optim.AdamW(model.parameters())
    for parameter in model.parameters():
        deferred.make(parameter)
    assert kept[0] is model.head.weight is model.tokens.weight
    assert any(p is kept[0] for p in optimizer.param_groups[0]["params"])
    model(torch.zeros(1, 4, dtype=torch.long))["logits"].sum().backward()
    assert kept[0].grad is not None
    optimizer.step()


def test_values_are_read_in_when_a_tensor_is_made() -> None:
    deferred, read = Deferred(), []

    def values() -> Tensor:
        read.append(True)
        return torch.full((20, 20), 7.0)

    with deferred:
        layer = nn.Linear(20, 20)
        deferred.fill(layer.weight, values)
        with torch.no_grad():
            layer.weight.mul_(2)  # after the starting weights, as a strategy may
    assert not read
    deferred.make(layer.weight)
    assert torch.equal(layer.weight, torch.full((20, 20), 14.0))


class Peak(torch.utils._python_dispatch.TorchDispatchMode):
    """The largest number of bytes that tensors had at one time."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes, self.live = 0, {}  # type: ignore[var-annotated]

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        for t in torch.utils._pytree.tree_leaves(result):
            if isinstance(t, Tensor) and not t.is_meta:
                storage = t.untyped_storage()
                self.live[storage._cdata] = torch.multiprocessing.reductions.StorageWeakRef(storage)
        alive = {key: ref for key, ref in self.live.items() if not ref.expired()}
        self.live = alive
        sizes = (torch.UntypedStorage._new_with_weak_ptr(ref.cdata) for ref in alive.values())
        self.bytes = max(self.bytes, sum(s.nbytes() for s in sizes if s is not None))
        return result


@pytest.fixture
def peak() -> Iterator[Peak]:
    return Peak()


def test_one_tensor_is_in_memory_at_a_time(peak: Peak) -> None:
    with peak:
        whole = nn.ModuleList(nn.Linear(200, 200) for _ in range(20))
    size = sum(p.numel() * 4 for p in whole.parameters())
    assert peak.bytes >= size
    one, smaller = 200 * 200 * 4, Peak()
    deferred = Deferred()
    with smaller, deferred:
        model = nn.ModuleList(nn.Linear(200, 200) for _ in range(20))
    for parameter in model.parameters():
        with smaller:
            deferred.value(parameter)
    assert smaller.bytes < 3 * one + 20 * 5100 < size / 4


@pytest.mark.parametrize(
    "look",
    [
        lambda t: t.numpy(),
        lambda t: t.tolist(),
        lambda t: np.asarray(t),
    ],
    ids=["numpy", "tolist", "asarray"],
)
def test_reaching_for_memory_that_is_not_there_is_an_error(
    look: Callable[[Tensor], object],
) -> None:
    with pytest.raises((RuntimeError, TypeError), match=r"meta|unallocated"), Deferred():
        look(torch.rand(20, 20))
    assert torch.rand(20, 20).device.type == "cpu"
    assert not {"is_meta", "is_cpu", "device"} & set(vars(Tensor)), "tensors still pretend"
