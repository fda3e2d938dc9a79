"""Which tensor dtypes can be stored, and under which name a safetensors header lists them."""

from __future__ import annotations

import torch

RAW = "U8"
"""Header name of dtypes that the safetensors format does not know: stored as their bytes."""

_NAMED: dict[str, str] = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint64": "U64",
    "uint32": "U32",
    "uint16": "U16",
    "uint8": "U8",
    "bool": "BOOL",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
}
_UNNAMED = ("complex128", "complex64", "complex32", "float8_e4m3fnuz", "float8_e5m2fnuz")

_BY_NAME: dict[str, torch.dtype] = {name: getattr(torch, name) for name in (*_NAMED, *_UNNAMED)}
_BY_HEADER: dict[str, torch.dtype] = {code: _BY_NAME[name] for name, code in _NAMED.items()}


def dtype_name(dtype: torch.dtype) -> str:
    """The name of ``dtype`` as torch spells it, without ``torch.``: ``bfloat16``."""
    return str(dtype).removeprefix("torch.")


def dtype_from_name(name: str) -> torch.dtype:
    """The dtype called ``name``.

    Raises:
        ValueError: no storable dtype has this name.
    """
    if name not in _BY_NAME:
        raise ValueError(f"unknown dtype {name!r}")
    return _BY_NAME[name]


def dtype_from_header(code: str) -> torch.dtype:
    """The dtype that a safetensors header calls ``code``.

    Raises:
        ValueError: the format has no such dtype, or it is one that is never written here.
    """
    if code not in _BY_HEADER:
        raise ValueError(f"unknown safetensors dtype {code!r}")
    return _BY_HEADER[code]


def header_name(dtype: torch.dtype) -> str:
    """The safetensors name of ``dtype``, or :data:`RAW` when the format has none."""
    return _NAMED.get(dtype_name(dtype), RAW)


def refusal(tensor: torch.Tensor) -> str | None:
    """Why ``tensor`` cannot be stored, or None when it can."""
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter):
        return f"tensors of class {type(tensor).__qualname__} are not stored; give a plain tensor"
    if tensor.is_meta:
        return "a tensor on the meta device has no values"
    if tensor.layout is not torch.strided:
        return f"tensors of layout {tensor.layout} are not stored; give a dense tensor"
    if dtype_name(tensor.dtype) not in _BY_NAME:
        return f"tensors of dtype {dtype_name(tensor.dtype)} are not stored"
    return None
