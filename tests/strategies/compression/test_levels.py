"""Levels of compression: plain pruning and rounding, what a level is, spaces, units."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trainwright.models.gpt import GPT
from trainwright_strategies.compression.levels import Compression
from trainwright_strategies.compression.plain import pruned, quantized


@pytest.mark.parametrize("bits", [2, 3, 8])
def test_rounding_against_all_allowed_values(bits: int) -> None:
    weight = torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(0))
    largest = 2 ** (bits - 1) - 1
    for row, found in zip(weight, quantized(weight, bits), strict=True):
        allowed = torch.arange(-largest, largest + 1) * row.abs().max() / largest
        errors = (row.reshape(-1, 1) - allowed).abs()
        nearest = allowed[errors.argmin(1)].view_as(row)
        torch.testing.assert_close(found, nearest)
        assert len(found.unique()) <= 2 * largest + 1


def test_rounding_of_ends() -> None:
    weight = torch.tensor([[1.0, -3.0], [0.0, 0.0]])
    assert quantized(weight, 1).tolist() == [[2.0, -2.0], [0.0, 0.0]]
    assert quantized(weight, 4)[1].tolist() == [0.0, 0.0]


def test_pruning_takes_exactly_as_many_of_the_smallest() -> None:
    weight = torch.randn(7, 11, generator=torch.Generator().manual_seed(0))
    for count in (0, 1, 30, 76, 77):
        found = pruned(weight, count)
        assert int((found == 0).sum()) == count
        if 0 < count < 77:
            assert weight[found == 0].abs().max() <= weight[found != 0].abs().min()


def test_a_level_is_as_many_weights_in_units_of_any_size() -> None:
    compression = Compression("sparsity", 0.8, step=0.1, max_level=3)
    space = compression.space([100, 1000, 100], "abc")
    assert space.start == (0, 0, 0)
    # 20 weights of the small ones are left at level 0: one more level would leave 10, two none.
    assert space.highest == (1, 3, 1)
    assert space.lowest == (-3, -3, -3)
    counts = [compression.num_pruned(size, 100, c) for size, c in ((100, 1), (1000, -2), (100, 1))]
    assert counts == [90, 780, 90]
    assert sum(counts) == 0.8 * 1200


def test_spaces_of_bits_and_blocks() -> None:
    bits = Compression("bits", 3, max_level=4).space([10, 20, 10, 20, 30], "abcde")
    assert (bits.start, bits.lowest, bits.highest) == ((3,) * 5, (1,) * 5, (7,) * 5)
    assert bits.groups == ((0, 2), (1, 3), (4,))
    assert bits.budget is None
    blocks = [f"blocks.{number}" for number in range(10)]
    drop = Compression("drop", 0.3, ("x",)).space([1] * 10, blocks)
    assert drop.start == (0, 0, 0) + (1,) * 7
    assert sum(Compression("drop", 0.29999, ("x",)).space([1] * 10, blocks).start) == 8


def test_bits_and_a_half_have_a_budget() -> None:
    space = Compression("bits", 2.25, max_level=2).space([10, 20, 10, 20], "abcd")
    assert (space.start, space.lowest, space.highest) == ((3,) * 4, (1,) * 4, (4,) * 4)
    assert space.budget == int(2.25 * 60)
    assert not Compression("bits", 2.25).has_uniform_point
    assert Compression("bits", 2.0).has_uniform_point
    assert not Compression("drop", 0.5, ("x",)).has_uniform_point


def test_of_attention_and_perceptron_as_many_are_dropped() -> None:
    names = [f"layers.{number}.{kind}" for number in range(4) for kind in ("attention", "mlp")]
    space = Compression("drop", 0.5, ("x",)).space([1] * 8, names)
    assert space.groups == ((0, 2, 4, 6), (1, 3, 5, 7))
    for group in space.groups:
        assert [space.start[unit] for unit in group] == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("compression", "sizes"),
    [
        (Compression("bits", 3), [10, 20]),
        (Compression("sparsity", 0.5, step=0.9), [1, 1]),
        (Compression("drop", 0.1, ("x",)), [1] * 5),
    ],
)
def test_spaces_without_room_are_refused(compression: Compression, sizes: list[int]) -> None:
    with pytest.raises(ValueError, match=r"no two units can exchange a level|drops 0 of 5 blocks"):
        compression.space(sizes, [f"blocks.{number}" for number in range(len(sizes))])


def test_units_of_models() -> None:
    gpt = GPT(20, 8, dim=12, depth=2, heads=2)
    layers = [f"blocks.{b}.{n}" for b in (0, 1) for n in ("qkv", "project", "expand", "contract")]
    assert list(Compression("bits", 4).units_of(gpt)) == layers
    assert list(Compression("bits", 4, ("*.qkv",)).units_of(gpt)) == [layers[0], layers[4]]
    assert list(Compression("drop", 0.5, ("blocks.?",)).units_of(gpt)) == ["blocks.0", "blocks.1"]
    with pytest.raises(ValueError, match=r"other layers share the weights of head"):
        Compression("bits", 4, ("head", "*.qkv")).units_of(gpt)
    with pytest.raises(ValueError, match=r"name 0 of the model's"):
        Compression("bits", 4, ("nothing",)).units_of(gpt)
    with pytest.raises(ValueError, match=r"name 1 of the model's"):
        Compression("sparsity", 0.5).units_of(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)))
    odd = nn.Sequential(nn.Conv1d(2, 2, 1), nn.Linear(2, 2), nn.Linear(2, 2))
    with pytest.raises(ValueError, match=r"^0: second moments are those of linear layers"):
        Compression("bits", 4, compressor="gptq").units_of(odd)
