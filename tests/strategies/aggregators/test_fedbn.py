"""FedBN: which tensors stay with the clients."""

from __future__ import annotations

import pytest
from torch import nn

from trainwright.models import MLP, ConvNet, ResNet
from trainwright_strategies.aggregators.fedbn import FedBN
from trainwright_strategies.ghost_batch_norm import ghost_batch_norm

STATISTICS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def network() -> nn.Sequential:
    block = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    return nn.Sequential(block, nn.LayerNorm(3), nn.BatchNorm1d(3, affine=False), nn.Linear(3, 2))


def test_all_of_batch_normalisation_stays_and_nothing_else() -> None:
    assert set(FedBN().local_tensors(network())) == {
        *(f"0.1.{name}" for name in STATISTICS),
        *(f"2.{name}" for name in STATISTICS[2:]),
    }


def test_patterns_add_to_it() -> None:
    found = FedBN(["3.*", "0.0.bias"]).local_tensors(network())
    assert set(found) - set(FedBN().local_tensors(network())) == {"3.weight", "3.bias", "0.0.bias"}
    assert len(found) == len(set(found))


@pytest.mark.parametrize(
    ("model", "layers"),
    [
        (ConvNet(1, 10, width=4), 3),
        (ResNet(1, 10, depth=8, width=4), 7),
        (MLP(4, 2, [3, 3], batch_norm=True), 2),
    ],
    ids=["convnet", "resnet", "mlp"],
)
def test_models_of_the_catalogue(model: nn.Module, layers: int) -> None:
    found = FedBN().local_tensors(model)
    assert len(found) == 5 * layers
    state = model.state_dict()
    assert all(name in state for name in found)
    assert sum(name.endswith("num_batches_tracked") for name in found) == layers


def test_ghost_batch_normalisation_counts() -> None:
    plain = ConvNet(1, 10, width=4)
    expected = FedBN().local_tensors(plain)
    assert FedBN().local_tensors(ghost_batch_norm(plain, 8)) == expected


def test_a_model_that_is_one_batch_normalisation() -> None:
    with pytest.raises(ValueError, match="nothing is left to average"):
        FedBN().local_tensors(nn.BatchNorm1d(3))


def test_without_batch_normalisation() -> None:
    model = MLP(4, 2, [3])
    with pytest.raises(ValueError, match="no batch normalisation that fedbn could leave"):
        FedBN().local_tensors(model)
    assert set(FedBN(["head.*"]).local_tensors(model)) == {"head.weight", "head.bias"}


def test_something_must_be_left() -> None:
    with pytest.raises(ValueError, match="nothing is left to average"):
        FedBN(["*"]).local_tensors(network())
    frozen = network()
    for layer in (frozen[0][0], frozen[1], frozen[3]):
        layer.requires_grad_(False)
    with pytest.raises(ValueError, match="nothing is left to average"):
        FedBN().local_tensors(frozen)


def test_a_pattern_that_fits_nothing() -> None:
    with pytest.raises(
        ValueError, match=r"local: 'haed\.bias' fits none of .*; nearest: head\.bias"
    ):
        FedBN(["haed.bias"]).local_tensors(MLP(4, 2, [3], batch_norm=True))
