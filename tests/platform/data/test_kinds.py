"""Tokens stored small, places without a token, groups; and what follows for a model."""

from __future__ import annotations

import pytest
import torch

from trainwright.data import Table
from trainwright.data.facts import data_facts, input_column
from trainwright.data.table import IGNORED


@pytest.mark.parametrize("dtype", [torch.int16, torch.int32, torch.int64])
def test_tokens_are_stored_small_and_given_as_int64(dtype: torch.dtype) -> None:
    values = torch.tensor([[1, 2], [3, IGNORED]], dtype=dtype)
    table = Table.from_arrays({"tokens": values}, {"tokens": "tokens"})
    assert table.tensors["tokens"].dtype == dtype
    assert table.columns["tokens"].num_classes == 4
    taken = table.subset(torch.tensor([1, 0])).take(torch.tensor([0, 1]))["tokens"]
    assert taken.dtype == torch.int64
    assert taken.tolist() == [[3, IGNORED], [1, 2]]


def test_only_the_mark_stands_for_no_token() -> None:
    for wrong in (-1, -99):
        with pytest.raises(ValueError, match="classes allow indices"):
            Table.from_arrays({"t": torch.tensor([[wrong]])}, {"t": "tokens"})
    with pytest.raises(ValueError, match="classes allow indices"):
        Table.from_arrays({"c": torch.tensor([IGNORED])}, {"c": "class"})
    nothing = Table.from_arrays({"t": torch.full((2, 3), IGNORED)}, {"t": "tokens"})
    assert nothing.columns["t"].num_classes == 1


def test_other_sizes_of_the_vocabulary() -> None:
    table = Table.from_arrays({"t": torch.tensor([[1, 4]])}, {"t": "tokens"})
    assert table.with_classes({"t": 9}).columns["t"].num_classes == 9
    with pytest.raises(ValueError, match="classes allow indices"):
        table.with_classes({"t": 4})


def columns(**kinds: str):
    shapes = {"image": (2, 3, 8, 8), "tokens": (2, 4), "vector": (2, 5)}
    arrays = {name: torch.zeros(shapes.get(kind, (2,))) for name, kind in kinds.items()}
    return Table.from_arrays(arrays, kinds).columns


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ({"x": "vector", "bag_id": "group", "target": "value"}, "x"),
        ({"x": "vector", "bag_target": "value", "target": "value"}, "x"),
        ({"x": "value", "target": "class"}, "x"),
        ({"tokens": "tokens", "tokens_mask": "mask", "target": "tokens"}, "tokens"),
        ({"a": "vector", "b": "tokens", "target": "class"}, None),
        ({"a": "value", "b": "value", "target": "class"}, None),
        ({"bag_id": "group", "target": "class"}, None),
    ],
)
def test_the_input_is_guessed_only_when_it_is_clear(kinds, expected: str | None) -> None:
    assert input_column(columns(**kinds)) == expected


def test_facts_of_language_models_and_of_pictures() -> None:
    language = data_facts(columns(tokens="tokens", target="tokens"), {})
    assert language["sequence_length"] == 4
    assert language["vocabulary_size"] == language["num_classes"] == 1
    assert language["target_kind"] == "tokens"
    assert "out_channels" not in language

    def channels(kind: str, values: torch.Tensor) -> int | None:
        table = Table.from_arrays(
            {"x": torch.zeros(2, 1, 4, 4), "target": values}, {"x": "image", "target": kind}
        )
        return data_facts(table, {}).get("out_channels")

    assert channels("class", torch.arange(32).reshape(2, 4, 4) % 3) == 3
    assert channels("mask", torch.zeros(2, 4, 4)) == 1
    assert channels("image", torch.zeros(2, 3, 4, 4)) == 3
    assert channels("class", torch.arange(2)) is None
    assert channels("vector", torch.zeros(2, 4)) is None
