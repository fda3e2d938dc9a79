"""What was done to tensors that do not exist yet, and the part of it that makes one of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

Storages = dict[int, torch.UntypedStorage]


@dataclass(frozen=True)
class View:
    """A tensor by its place in a storage; two tensors over the same memory share the storage.

    Attributes:
        storage: identifies the storage.
        dtype: of the elements.
        size: shape.
        stride: elements to step over, by dimension.
        offset: of the first element.
    """

    storage: int
    dtype: torch.dtype
    size: torch.Size
    stride: tuple[int, ...]
    offset: int


@dataclass(frozen=True)
class Entry:
    """One operation.

    Attributes:
        func: what was called.
        args: its arguments, with a view for each tensor that does not exist.
        kwargs: its keyword arguments likewise.
        outputs: the new tensors among its results, in order.
        writes: storages that it changes, new ones included.
        reads: storages whose content it needs.
        whole: the storages among ``writes`` of whose former content nothing is left.
        draws: a random generator and its state before the operation.
    """

    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    outputs: tuple[View, ...]
    writes: frozenset[int]
    reads: frozenset[int]
    whole: frozenset[int]
    draws: tuple[torch.Generator, Tensor] | None = None


class Tape:
    """Operations in their order, and the storages they are about."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._writers: dict[int, list[int]] = {}
        self._storages: Storages = {}  # kept alive, so that no other gets the same address

    def knows(self, tensor: Tensor) -> bool:
        """Whether the tensor's storage is one of these."""
        return is_meta(tensor) and _address(tensor) in self._storages

    def view(self, tensor: Tensor) -> View:
        """The tensor's place; its storage is known from now on."""
        address = _address(tensor)
        self._storages.setdefault(address, tensor.untyped_storage())
        place = (tensor.size(), tensor.stride(), int(tensor.storage_offset()))
        return View(address, tensor.dtype, *place)

    def add(self, entry: Entry) -> None:
        """Note one more operation."""
        for storage in entry.writes:
            self._writers.setdefault(storage, []).append(len(self._entries))
        self._entries.append(entry)

    def play(self, tensor: Tensor) -> Tensor:
        """Carry out what the tensor's values depend on; a fresh tensor."""
        wanted = self.view(tensor)
        real: Storages = {}
        for index in sorted(self._needed(wanted.storage)):
            self._carry_out(self._entries[index], real)
        found = self._tensor(wanted, real)
        return found if covers(found) else found.clone()

    def _needed(self, storage: int) -> set[int]:
        """The operations that decide what a storage holds in the end."""
        chosen: set[int] = set()
        open_ones = [(storage, len(self._entries))]
        while open_ones:
            current, end = open_ones.pop()
            for index in reversed(self._writers.get(current, [])):
                if index >= end:
                    continue
                entry = self._entries[index]
                if index not in chosen:
                    chosen.add(index)
                    open_ones += [(read, index) for read in entry.reads]
                if current in entry.whole:
                    break
        return chosen

    def _carry_out(self, entry: Entry, real: Storages) -> None:
        args, kwargs = tree_map_only(
            View, lambda view: self._tensor(view, real), (entry.args, dict(entry.kwargs))
        )
        if entry.draws is None:
            result = entry.func(*args, **kwargs)
        else:
            generator, state = entry.draws
            now = generator.get_state()
            generator.set_state(state)
            result = entry.func(*args, **kwargs)
            generator.set_state(now)
        given = {_address(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        made = [t for t in tree_leaves(result) if isinstance(t, Tensor)]
        made = [t for t in made if _address(t) not in given]
        for view, value in zip(entry.outputs, made, strict=True):
            if (view.size, view.stride) != (value.size(), value.stride()):
                raise RuntimeError(f"{entry.func} lays out its result otherwise than foreseen")
            real[view.storage] = value.untyped_storage()

    def _tensor(self, view: View, real: Storages) -> Tensor:
        if view.storage not in real:  # never written: as uninitialised as ``torch.empty``
            size = self._storages[view.storage].nbytes()
            real[view.storage] = torch.empty(size, dtype=torch.uint8).untyped_storage()
        flat = torch.empty(0, dtype=view.dtype)
        return flat.set_(real[view.storage], view.offset, view.size, view.stride)


def covers(tensor: Tensor) -> bool:
    """Whether writing to all of a tensor leaves nothing of its storage's content."""
    dense = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.size(), strict=True)):
        if size != 1 and stride != dense:
            return False
        dense *= size
    return dense * tensor.element_size() == tensor.untyped_storage().nbytes()


def is_meta(tensor: Tensor) -> bool:
    """Whether a tensor has no memory, whatever it says itself."""
    return bool(torch._C.TensorBase.is_meta.__get__(tensor))  # type: ignore[attr-defined]


def _address(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
