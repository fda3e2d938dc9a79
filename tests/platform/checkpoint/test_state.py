from __future__ import annotations

import enum
import json
import math
import struct
from collections import OrderedDict, defaultdict
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainwright.checkpoint import pack_state, unpack_state
from trainwright.errors import CheckpointError

DTYPES = [
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
    torch.complex64,
    torch.complex128,
    torch.float8_e4m3fn,
    torch.float8_e5m2,
]


def random_tensor(dtype: torch.dtype, shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """A tensor of random bits, so that nan payloads and denormals occur."""
    generator = torch.Generator().manual_seed(seed)
    numel = math.prod(shape)
    if dtype is torch.bool:
        return torch.rand(shape, generator=generator) < 0.5
    size = (numel * dtype.itemsize,)
    return (
        torch.randint(0, 256, size, dtype=torch.uint8, generator=generator)
        .view(dtype)
        .reshape(shape)
    )


def same(first: Any, second: Any) -> bool:
    """Equality of type and bits, through containers; dicts in order."""
    if type(first) is not type(second):
        return False
    if isinstance(first, torch.Tensor):
        as_bytes = [t.reshape(-1).view(torch.uint8) for t in (first, second)]
        return (
            first.dtype == second.dtype and first.shape == second.shape and torch.equal(*as_bytes)
        )
    if isinstance(first, float):
        return struct.pack(">d", first) == struct.pack(">d", second)
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, dict):
        return same(list(first), list(second)) and same(list(first.values()), list(second.values()))
    return bool(first == second)


def through_text(state: dict[Any, Any]) -> dict[Any, Any]:
    packed, tensors = pack_state(state)
    return unpack_state(json.loads(json.dumps(packed, allow_nan=False)), tensors)


tensors = st.builds(
    random_tensor,
    st.sampled_from(DTYPES),
    st.lists(st.integers(0, 4), max_size=3).map(tuple),
    st.integers(0, 1000),
)
any_text = st.text(st.characters(exclude_categories=()), max_size=8)
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(10**40), max_value=10**40)
    | st.floats()
    | any_text
    | tensors
)
keys = any_text | st.integers() | st.sampled_from(["$tensor", "$dict", "a.b", "", "1"])
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(keys, inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(keys, values, max_size=5))
def test_round_trip_is_exact(state: dict[Any, Any]) -> None:
    assert same(through_text(state), state)


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        -math.nan,
        math.inf,
        -math.inf,
        -0.0,
        5e-324,
        2**53 + 1,
        -(2**64),
        10**5000,
        "\ud83d\ude00",
        "\ud83d",
        {1: "a", "1": "b"},
        {"$tuple": [1]},
        {"a": {}, 2: []},
        (1, (2, [3, ()])),
        True,
        1,
        1.0,
    ],
    ids=lambda value: type(value).__name__,
)
def test_awkward_values(value: Any) -> None:
    assert same(through_text({"value": value}), {"value": value})


def test_state_dicts_of_torch_come_back() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(4, 3)).sum().backward()
    optimizer.step()
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    back = through_text(state)
    assert same(back["model"], dict(state["model"]))
    assert same(back["optimizer"], state["optimizer"])


def test_parameters_and_views_become_plain_tensors() -> None:
    weight = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3))
    back = through_text({"weight": weight, "view": weight.t()})
    assert type(back["weight"]) is torch.Tensor
    assert not back["weight"].requires_grad
    assert torch.equal(back["view"], weight.t())


def test_the_text_is_plain_for_plain_values() -> None:
    state = {"epoch": 3, "lr": 0.1, "done": False, "name": "x", "list": [1, None]}
    assert pack_state(state) == (state, {})


class Color(enum.IntEnum):
    RED = 1


loop: list[Any] = []
loop.append(loop)


@pytest.mark.parametrize(
    ("state", "path", "word"),
    [
        ({"a": {"b": [0, {1, 2}]}}, "state.a.b.1", "set"),
        ({"a": (object(),)}, "state.a.0", "object"),
        ({"lr": np.float64(0.1)}, "state.lr", "float64"),
        ({"n": np.int64(1)}, "state.n", "int64"),
        ({"c": Color.RED}, "state.c", "Color"),
        ({"d": defaultdict(int)}, "state.d", "defaultdict"),
        ({"x": {1.5: 1}}, "state.x", "1.5"),
        ({"x": {True: 1}}, "state.x", "True"),
        ({"x": {None: 1}}, "state.x", "None"),
        ({"f": lambda: 0}, "state.f", "function"),
        ({"b": b"bytes"}, "state.b", "bytes"),
        ({"z": 1 + 2j}, "state.z", "complex"),
        ({3: {"s": torch.Size([1])}}, "state.3.s", "Size"),
        ({"t": torch.eye(2).to_sparse()}, "state.t", "sparse"),
        ({"t": torch.empty(2, device="meta")}, "state.t", "meta"),
        ({"t": torch.empty(2, dtype=torch.uint4)}, "state.t", "uint4"),
        ({"l": loop}, "state.l.0", "deeper"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_refusals_name_the_path(state: dict[Any, Any], path: str, word: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        pack_state(state)
    assert str(caught.value).startswith(f"{path}")
    assert word in str(caught.value)


def test_keys_of_any_size_and_the_paths_they_make() -> None:
    state = {10**5000: {"$x": torch.ones(1)}, "\ud800": 1}
    assert same(through_text(state), state)


@pytest.mark.parametrize("root", [None, [1], (1,), 3, torch.ones(2)])
def test_the_root_must_be_a_dict(root: Any) -> None:
    with pytest.raises(CheckpointError, match="must be a dict"):
        pack_state(root)


def test_an_ordered_dict_may_be_the_root() -> None:
    assert through_text(OrderedDict(b=1, a=2)) == {"b": 1, "a": 2}


@pytest.mark.parametrize(
    "packed",
    [
        {"a": {"$unknown": 1}},
        {"a": {"$tensor": "0.a", "dtype": "float32", "shape": [1]}},
        {"a": {"$float": "xyz"}},
        {"a": {"$dict": [1]}},
        [1],
        None,
    ],
)
def test_malformed_json_is_a_checkpoint_error(packed: Any) -> None:
    with pytest.raises(CheckpointError):
        unpack_state(packed, {})


def test_a_tensor_of_the_wrong_size_is_a_checkpoint_error() -> None:
    packed, tensors_by_key = pack_state({"a": torch.ones(3)})
    with pytest.raises(CheckpointError):
        unpack_state(packed, {key: t[:2] for key, t in tensors_by_key.items()})
