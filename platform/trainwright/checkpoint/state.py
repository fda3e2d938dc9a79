"""Nested state (dicts, lists, numbers, tensors) as strict JSON plus tensors, and back, exactly."""

from __future__ import annotations

import math
import struct
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeAlias

import torch

from trainwright.checkpoint.dtypes import dtype_from_name, dtype_name, refusal
from trainwright.errors import CheckpointError

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"
State: TypeAlias = "Mapping[Any, Any]"
"""A dict of plain values and tensors; what exactly is allowed is said by :func:`pack_state`."""

_MAX_DEPTH = 100
_MAX_PLAIN_INT = 2**53
_ALLOWED = "allowed: dict (keys str or int), list, tuple, str, int, float, bool, None, torch.Tensor"


def pack_state(state: State, label: str = "state") -> tuple[JSON, dict[str, torch.Tensor]]:
    """Separate ``state`` into strict JSON and the tensors it holds.

    Values come back from :func:`unpack_state` with the same types and bits: nan, infinities,
    -0.0, integers of any size, int keys and tuples included. An ``OrderedDict`` comes back as a
    dict, a parameter as a plain tensor, every tensor on the CPU.

    Args:
        state: nested dict (keys str or int), list, tuple, str, int, float, bool, None and dense
            tensors of any shape. Subclasses (``numpy.float64``, enumerations) are refused, because
            their class would be lost.
        label: what to call the state in errors.

    Returns:
        The JSON value and the tensors by the key under which the JSON refers to them. The
        tensors are not copied.

    Raises:
        CheckpointError: a value of another type, named by its dotted path.
    """
    if type(state) not in (dict, OrderedDict):
        raise CheckpointError(f"{label}: must be a dict, not {type(state).__qualname__}")
    tensors: dict[str, torch.Tensor] = {}
    return _Packer(label, tensors).pack(state, ()), tensors


def unpack_state(packed: JSON, tensors: Mapping[str, torch.Tensor]) -> dict[Any, Any]:
    """The state that :func:`pack_state` took apart.

    Args:
        packed: the JSON value, also after a round trip through text.
        tensors: the tensors by key; shape and dtype may have been lost to flat bytes on the way.

    Raises:
        CheckpointError: the JSON is not of the form written by :func:`pack_state`, or a tensor
            it refers to is not among ``tensors``.
    """
    try:
        state = _unpack(packed, tensors)
    except (KeyError, TypeError, ValueError, RuntimeError, struct.error) as error:
        raise CheckpointError(f"stored state cannot be read: {error!r}") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"stored state is a {type(state).__name__} instead of a dict")
    return state


class _Packer:
    def __init__(self, label: str, tensors: dict[str, torch.Tensor]) -> None:
        self._label = label
        self._tensors = tensors

    def pack(self, value: Any, path: tuple[str, ...]) -> JSON:
        if len(path) > _MAX_DEPTH:
            self._refuse(path[:3], f"nested deeper than {_MAX_DEPTH} levels; does it hold itself?")
        if isinstance(value, torch.Tensor):
            return self._pack_tensor(value, path)
        kind = type(value)
        if kind is list:
            return [self.pack(item, (*path, str(i))) for i, item in enumerate(value)]
        if kind is tuple:
            return {"$tuple": [self.pack(item, (*path, str(i))) for i, item in enumerate(value)]}
        if kind in (dict, OrderedDict):
            return self._pack_dict(value, path)
        plain = _PLAIN.get(kind)
        if plain is None:
            self._refuse(path, f"a value of type {kind.__qualname__} cannot be stored; {_ALLOWED}")
        return plain(value)

    def _pack_dict(self, value: Mapping[Any, Any], path: tuple[str, ...]) -> JSON:
        for key in value:
            if type(key) not in (str, int):
                self._refuse(path, f"the key {key!r} is neither a str nor an int")
        items = [(key, self.pack(item, (*path, _label(key)))) for key, item in value.items()]
        if all(_is_plain_key(key) for key, _ in items):
            return dict(items)
        return {"$dict": [[self.pack(key, path), item] for key, item in items]}

    def _pack_tensor(self, value: torch.Tensor, path: tuple[str, ...]) -> JSON:
        reason = refusal(value)
        if reason is not None:
            self._refuse(path, reason)
        # The path is for people; the number makes it unique, and other readers need valid UTF-8.
        key = f"{len(self._tensors)}.{'.'.join(path)}".encode(errors="replace").decode()
        self._tensors[key] = value.detach()
        return {"$tensor": key, "dtype": dtype_name(value.dtype), "shape": list(value.shape)}

    def _refuse(self, path: tuple[str, ...], reason: str) -> NoReturn:
        raise CheckpointError(f"{'.'.join((self._label, *path))}: {reason}")


def _label(key: str | int) -> str:
    # Python refuses to write out integers of thousands of digits.
    return key if isinstance(key, str) else str(_pack_int(key))


def _is_plain_key(key: object) -> bool:
    return isinstance(key, str) and not key.startswith("$") and _pack_str(key) == key


def _pack_str(value: str) -> JSON:
    try:
        value.encode()
    except UnicodeEncodeError:
        # JSON would join two lone surrogates into the one character they could stand for.
        return {"$str": value.encode("utf-8", "surrogatepass").hex()}
    return value


def _pack_int(value: int) -> JSON:
    return value if abs(value) <= _MAX_PLAIN_INT else {"$int": hex(value)}


def _pack_float(value: float) -> JSON:
    return value if math.isfinite(value) else {"$float": struct.pack(">d", value).hex()}


def _same(value: Any) -> JSON:
    result: JSON = value
    return result


_PLAIN: dict[type, Callable[[Any], JSON]] = {
    type(None): _same,
    bool: _same,
    int: _pack_int,
    float: _pack_float,
    str: _pack_str,
}


def _unpack(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpack(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    tag = next((key for key in value if key.startswith("$")), None)
    if tag is None:
        return {key: _unpack(item, tensors) for key, item in value.items()}
    content = value[tag]
    if tag == "$tensor":
        return _unpack_tensor(tensors[content], value["dtype"], value["shape"])
    if tag == "$tuple":
        return tuple(_unpack(item, tensors) for item in content)
    if tag == "$dict":
        return {_unpack(key, tensors): _unpack(item, tensors) for key, item in content}
    if tag not in _TAGGED:
        raise ValueError(f"unknown mark {tag}")
    return _TAGGED[tag](content)


_TAGGED: dict[str, Callable[[str], Any]] = {
    "$int": lambda text: int(text, 16),
    "$float": lambda text: struct.unpack(">d", bytes.fromhex(text))[0],
    "$str": lambda text: bytes.fromhex(text).decode("utf-8", "surrogatepass"),
}


def _unpack_tensor(stored: torch.Tensor, dtype: str, shape: list[int]) -> torch.Tensor:
    return stored.reshape(-1).view(dtype_from_name(dtype)).reshape(shape)
