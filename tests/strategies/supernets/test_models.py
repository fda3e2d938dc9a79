"""The supernets: each path is its architecture alone, and touches no other weights."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from trainwright_strategies.cell_supernet import CellSupernet
from trainwright_strategies.residual_supernet import ResidualSupernet
from trainwright_strategies.supernets.choice import PathModel
from trainwright_strategies.supernets.protocol import Supernet, find_supernet

PATHS = {
    "residual": [(0, 0, 0), (3, 0, 1), (2, 3, 1)],
    "cell": [(3, 1, 4, 2, 0, 3), (1, 1, 1, 1, 1, 1), (2, 4, 3, 1, 3, 2)],
    "affine": [(3, 1, 4, 2, 0, 3)],
}
CASES = [(kind, path) for kind, paths in PATHS.items() for path in paths]


def build(kind: str, path: Any = None) -> PathModel:
    torch.manual_seed(0)
    if kind == "residual":
        return ResidualSupernet(in_features=64, out_features=10, path=path)
    kept = kind == "affine"
    return CellSupernet(
        1, 10, channels=4, cells=2, track_running_stats=kept, affine=kept, path=path
    )


def images(count: int = 6) -> Tensor:
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def loss_of(model: PathModel) -> Tensor:
    return functional.cross_entropy(model(images())["logits"], torch.arange(6))


@pytest.mark.parametrize(("kind", "path"), CASES)
def test_the_architecture_alone_is_what_the_supernet_runs(kind: str, path: Any) -> None:
    supernet, alone = build(kind).eval(), build(kind, path).eval()
    assert set(alone.state_dict()) <= set(supernet.state_dict())
    kept = {name: supernet.state_dict()[name] for name in alone.state_dict()}
    alone.load_state_dict(kept)
    supernet.path = path
    with torch.no_grad():
        ours, theirs = supernet(images()), alone(images())
    assert ours["logits"].shape == (6, 10)
    assert ours["logits"].equal(theirs["logits"])
    assert ours["embedding"].equal(theirs["embedding"])


@pytest.mark.parametrize(("kind", "path"), CASES)
def test_weights_are_counted_as_the_architecture_alone_has_them(kind: str, path: Any) -> None:
    alone = build(kind, path)
    count = sum(parameter.numel() for parameter in alone.parameters())
    assert build(kind).parameters_of(path) == alone.parameters_of(path) == count


@pytest.mark.parametrize(("kind", "path"), CASES)
def test_a_path_leaves_other_operations_without_gradient(kind: str, path: Any) -> None:
    supernet = build(kind)
    supernet.path = path
    loss_of(supernet).backward()
    there = {name for name, p in supernet.named_parameters() if p.grad is not None}
    wanted = {name for name, _ in build(kind, path).named_parameters()}
    # An edge out of a node that gets zeros alone is in the architecture, with a gradient of zeros.
    assert there == wanted


@pytest.mark.parametrize("kind", list(PATHS))
def test_places_are_the_weighted_operations(kind: str) -> None:
    supernet = build(kind)
    space, cells = supernet.space, supernet.cells()
    weightless = {"skip", "none", "avgpool3x3"}
    for operation, name in enumerate(space.operations):
        places = supernet.places(operation)
        everywhere = [(cell, edge) for cell in range(len(cells)) for edge in range(space.edges)]
        wanted = [] if name in weightless else everywhere
        assert [(place.cell, place.edge) for place in places] == wanted, name
        for place in places:
            assert {id(p) for p in place.parameters} == {
                id(p)
                for key, p in supernet.named_parameters()
                if f".{name}." in key and key.startswith(_prefix(supernet, place.cell, place.edge))
            }


def _prefix(supernet: PathModel, cell: int, edge: int) -> str:
    choice = supernet.cells()[cell][edge]
    return next(name for name, part in supernet.named_modules() if part is choice)


@pytest.mark.parametrize("kind", list(PATHS))
def test_without_a_path_the_largest_is_run(kind: str) -> None:
    supernet = build(kind)
    largest = supernet.parameters_of(supernet.path)
    assert largest == max(map(supernet.parameters_of, supernet.space.all()))


@pytest.mark.parametrize("kind", list(PATHS))
def test_one_architecture_alone_refuses_other_paths(kind: str) -> None:
    path = PATHS[kind][0]
    alone = build(kind, path)
    alone.path = path
    other = alone.space.mutate(path, torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match="leave out its option path"):
        alone.path = other
    with pytest.raises(ValueError, match="leave out its option path"):
        alone.parameters_of(other)


def test_the_benchmark_counts_the_same_weights() -> None:
    """NAS-Bench-201 lists 1.531546 million for conv3x3 everywhere, 0.073306 for the smallest."""
    supernet = CellSupernet(3, 10, track_running_stats=True, affine=True)
    assert supernet.space.count == 15625
    assert supernet.parameters_of((3,) * 6) == 1_531_546
    assert supernet.parameters_of((0,) * 6) == supernet.parameters_of((1, 4) * 3) == 73_306


def test_a_cell_is_the_sum_over_its_graph() -> None:
    supernet = build("cell").eval()
    path = (3, 1, 4, 2, 0, 3)
    (cell, *_), features = supernet.cells(), torch.randn(3, 4, 8, 8)
    e01, e02, e12, e03, e13, e23 = (
        choice.operations[supernet.space.operations[one]]
        for choice, one in zip(cell, path, strict=True)
    )
    node1 = e01(features)
    node2 = e02(features) + e12(node1)
    wanted = e03(features) + e13(node1) + e23(node2)
    assert torch.allclose(supernet.parts[0](features, path), wanted)
    assert e13(node1).eq(0).all()
    relu_conv_norm = functional.batch_norm(
        functional.conv2d(features.relu(), e01[1].weight, padding=1), None, None, training=True
    )
    assert torch.allclose(node1, relu_conv_norm, atol=1e-6)


def test_batch_statistics_depend_on_the_batch_and_running_ones_do_not() -> None:
    for kind, alike in (("cell", False), ("affine", True)):
        model = build(kind).eval()
        whole, part = model(images())["logits"][:3], model(images()[:3])["logits"]
        assert torch.allclose(whole, part, atol=1e-6) is alike, kind


def test_a_residual_edge_by_hand() -> None:
    model = build("residual", (2, 0, 0)).double()
    x = images().double()
    h = (x.flatten(1) @ model.stem.weight.T + model.stem.bias).clamp(min=0)
    edge = model.edges[0].operations["width_4"]
    assert edge.down.weight.shape == (4, 8)
    hidden = (h @ edge.down.weight.T + edge.down.bias).clamp(min=0)
    h = h + hidden @ edge.up.weight.T + edge.up.bias
    for _ in range(3):  # each edge normalises, also those that skip
        h = (h - h.mean(1, keepdim=True)) / (h.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
    assert torch.allclose(model(x)["logits"], h @ model.head.weight.T + model.head.bias)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widths": [4, 4]}, "widths must be different"),
        ({"path": [0, 0]}, "for each of 3 edges"),
        ({"path": [0, 0, 4]}, "no operation 4"),
    ],
)
def test_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ResidualSupernet(64, 10, **options)


def test_a_supernet_is_found_however_it_is_wrapped() -> None:
    supernet = build("residual")
    assert isinstance(supernet, Supernet)
    assert find_supernet(supernet) is supernet
    assert find_supernet(nn.Sequential(nn.Flatten(), supernet)) is supernet
    assert find_supernet(copy.deepcopy(supernet)) is not supernet


def test_no_supernet_and_two() -> None:
    with pytest.raises(ValueError, match="the model is no supernet"):
        find_supernet(nn.Linear(2, 2))
    both = nn.ModuleList([build("residual"), build("cell")])
    with pytest.raises(ValueError, match=r"2 supernets \(ResidualSupernet, CellSupernet\)"):
        find_supernet(both)
