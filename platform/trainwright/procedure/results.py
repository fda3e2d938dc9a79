"""Results of steps as bytes: plain values in JSON, tensors beside them in safetensors."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

PLAIN, TENSORS = ".json", ".safetensors"
_TENSOR = "__tensor__"
_KEY = "result"


@dataclass(frozen=True)
class Packed:
    """A result, whole.

    Attributes:
        ending: of the file that holds it: ``.json``, or ``.safetensors`` if there are tensors.
        content: the file's bytes.
    """

    ending: str
    content: bytes


def pack(value: Any) -> Packed:
    """The bytes that stand for a result.

    Args:
        value: None, truth values, numbers, texts, tensors and arrays, and lists, tuples and
            mappings of them with texts as keys.

    Raises:
        TypeError: it is something else; a pickle would run code when it is read.

    Example:
        >>> unpack(pack({"loss": 0.5, "shape": (2, 3)}))
        {'loss': 0.5, 'shape': [2, 3]}
    """
    tensors: dict[str, Tensor] = {}
    text = json.dumps(_plain(value, tensors), indent=None if tensors else 2)
    if not tensors:
        return Packed(PLAIN, f"{text}\n".encode())
    from safetensors.torch import save

    return Packed(TENSORS, save(tensors, metadata={_KEY: text}))


def unpack(packed: Packed) -> Any:
    """The result that bytes stand for: tuples have become lists, arrays tensors on the CPU.

    Raises:
        ValueError: the bytes are damaged.
    """
    if packed.ending == PLAIN:
        return json.loads(packed.content)
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        tensors = load(packed.content)
        size = int.from_bytes(packed.content[:8], "little")
        text = json.loads(packed.content[8 : 8 + size])["__metadata__"][_KEY]
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    return _filled(json.loads(text), tensors)


def _plain(value: Any, tensors: dict[str, Tensor]) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(value)
    if isinstance(value, Tensor):
        name = str(len(tensors))
        # A copy of its own: tensors that share memory cannot be written.
        tensors[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {_TENSOR: name}
    if isinstance(value, (list, tuple)):
        return [_plain(item, tensors) for item in value]
    if isinstance(value, Mapping) and _TENSOR not in value:
        if all(isinstance(key, str) for key in value):
            return {key: _plain(item, tensors) for key, item in value.items()}
        raise TypeError(f"mappings in a result have texts as keys, got {list(value)[:3]}")
    raise TypeError(
        f"a result is made of plain values and tensors, lists and mappings of them; got "
        f"{type(value).__name__}"
    )


def _filled(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_filled(item, tensors) for item in value]
    if isinstance(value, dict):
        if value.keys() == {_TENSOR}:
            return tensors[value[_TENSOR]]
        return {key: _filled(item, tensors) for key, item in value.items()}
    return value


def numbers(found: Any) -> dict[str, float]:
    """Named numbers, as ``run`` returns and ``log`` takes them.

    Raises:
        TypeError: it is no mapping of names to numbers.
    """
    if found is None:
        return {}
    if not isinstance(found, Mapping) or not all(isinstance(name, str) for name in found):
        raise TypeError(f"expected a mapping of names to numbers, got {found!r:.200}")
    return {name: _number(name, value) for name, value in found.items()}


def _number(name: str, value: Any) -> float:
    if isinstance(value, (Tensor, np.ndarray)) and math.prod(value.shape) == 1:
        value = value.item()
    if not isinstance(value, (int, float, np.generic)):
        raise TypeError(f"{name} must be a number, got {value!r:.100}")
    return float(value)
