"""Building a module without its weights: what would be done to them is noted, and done later.

A model built inside a :class:`Deferred` has weights of the right shapes on torch's meta device,
which take no memory. Each can be made afterwards, alone and bit for bit as an ordinary
construction makes it, because random numbers are drawn where they would have been drawn: the
generator's state is noted in front of each draw, and the draw is carried out and thrown away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map_only

from trainwright.engine.tape import Entry, Tape, covers, is_meta

SMALL = 16_384
"""Tensors of at most so many elements are made at once, so that code may look at their values."""

_OVERWRITES = {
    f"aten::{name}_"
    for name in (
        *("normal", "uniform", "zero", "fill", "copy", "bernoulli"),
        *("exponential", "random", "log_normal", "cauchy", "geometric"),
    )
}


class Deferred(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While it is entered, large tensors are not made: operations on them are noted.

    What needs their values (``item``, a small result, an operation that the meta device does not
    know) gets them, made for that moment. Code that reaches past torch's dispatcher for the
    memory of a large tensor (``numpy``) fails with torch's own error about meta tensors.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._tape = Tape()
        self._pretends = True
        self._scratch = torch.empty(0, dtype=torch.uint8)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Note the operation, or carry it out."""
        kwargs = kwargs or {}
        given = _tensors((args, kwargs))
        if not any(self.holds(t) for t in given) and not _makes_anew(func, given, kwargs):
            return func(*args, **kwargs)
        written = _written(func, args, kwargs)
        if not all(self.holds(t) for t in written):
            return self._carry_out(func, args, kwargs)
        try:
            self._pretends = False
            result = func(*_on_meta(args), **_on_meta(_for_meta(func, kwargs)))
        except RuntimeError:  # unknown there, or wrong: then it fails with its own error
            return self._carry_out(func, args, kwargs)
        finally:
            self._pretends = True
        if _is_named_meta(kwargs.get("device")):
            return result  # without values is what was asked for
        found = _tensors(result)
        made = [t for t in found if not self.holds(t)]
        is_view = found and not made
        if not written and not is_view and all(t.numel() <= SMALL for t in made):
            return self._carry_out(func, args, kwargs)
        if made or written:
            self._note(func, args, kwargs, made, written)
        return result

    def __enter__(self) -> Deferred:
        """Begin; until the end, tensors that are not made say that they are on the CPU."""
        # torch's own initialisers, for one, leave out what says that it is on the meta device.
        for name, said in (("is_meta", False), ("is_cpu", True), ("device", torch.device("cpu"))):
            setattr(Tensor, name, property(self._saying(name, said)))
        self._deepcopy = Tensor.__deepcopy__
        Tensor.__deepcopy__ = self._copying(Tensor.__deepcopy__)  # type: ignore[method-assign]
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        """End; what is not made stays so."""
        self._scratch = torch.empty(0, dtype=torch.uint8)
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        for name in ("is_meta", "is_cpu", "device"):
            delattr(Tensor, name)  # what torch defines itself stands in the class below
        Tensor.__deepcopy__ = self._deepcopy  # type: ignore[method-assign]

    def _saying(self, name: str, said: Any) -> Callable[[Tensor], Any]:
        own = getattr(torch._C.TensorBase, name)

        def say(tensor: Tensor) -> Any:
            return said if self._pretends and self.holds(tensor) else own.__get__(tensor)

        return say

    def _copying(self, own: Callable[..., Any]) -> Callable[..., Any]:
        def copy(tensor: Tensor, memo: dict[int, Any]) -> Any:
            if id(tensor) in memo or not self.holds(tensor):
                return own(tensor, memo)
            # torch's own would copy the memory that is not there.
            memo[id(tensor)] = copied = tensor.detach().clone()
            return copied

        return copy

    def holds(self, tensor: Tensor) -> bool:
        """Whether the tensor is still to be made."""
        return self._tape.knows(tensor)

    def fill(self, tensor: Tensor, read: Callable[[], Tensor]) -> None:
        """Note that a tensor takes the values that ``read`` gives when it is made."""
        target = self._tape.view(tensor)
        storage = frozenset({target.storage})
        whole = storage if covers(tensor) else frozenset()

        def copy(into: Tensor) -> None:
            into.copy_(read())

        self._tape.add(Entry(copy, (target,), {}, (), storage, frozenset(), whole))

    @torch.no_grad()
    def value(self, tensor: Tensor) -> Tensor:
        """A fresh tensor with the values of one that is still to be made, and stays so."""
        with _disable_current_modes():
            return self._tape.play(tensor)

    @torch.no_grad()
    def make(self, tensor: Tensor, dtype: torch.dtype | None = None) -> None:
        """Give a tensor (parameters too) its values; it stays the same object.

        Args:
            tensor: left alone if it is made already.
            dtype: number format of a floating-point tensor; None for its own.
        """
        if not self.holds(tensor):
            return
        with _disable_current_modes():
            value = self.value(tensor)
            if dtype is not None and value.is_floating_point():
                value = value.to(dtype)
            value.requires_grad_(tensor.requires_grad)
            # ``torch.utils.swap_tensors`` without its refusal of weak references, which a
            # recurrent layer has to its weights: they stay right, as the object stays.
            torch._C._swap_tensor_impl(tensor, value)

    def _carry_out(self, func: Any, args: Any, kwargs: Any) -> Any:
        def real(tensor: Tensor) -> Tensor:
            return self.value(tensor) if self.holds(tensor) else tensor

        args, kwargs = tree_map_only(Tensor, real, (args, kwargs))
        return func(*args, **kwargs)

    def _note(
        self, func: Any, args: Any, kwargs: Any, made: list[Tensor], written: list[Tensor]
    ) -> None:
        outputs = tuple(self._tape.view(t) for t in made)
        if func.overloadpacket in _EMPTY:
            return
        replaced = [t for t in written if func._schema.name in _OVERWRITES and covers(t)]
        state = None
        if torch.Tag.nondeterministic_seeded in func.tags:
            state = self._draw(func, args, kwargs, replaced)
        read = [t for t in _tensors((args, kwargs)) if not any(t is other for other in replaced)]
        new = frozenset(view.storage for view in outputs)
        args, kwargs = tree_map_only(Tensor, self._frozen, (args, kwargs))
        self._tape.add(
            Entry(
                func,
                args,
                kwargs,
                outputs,
                writes=new | self._storages(written),
                reads=self._storages(read),
                whole=new | self._storages(replaced),
                draws=state,
            )
        )

    def _draw(
        self, func: Any, args: Any, kwargs: Any, replaced: list[Tensor]
    ) -> tuple[torch.Generator, Tensor]:
        """Move the generator on as the operation does; what it was before."""
        generator = kwargs.get("generator") or torch.default_generator
        state = generator.get_state()

        def real(tensor: Tensor) -> Tensor:
            if any(tensor is other for other in replaced):
                return self._scrap(tensor)
            return self.value(tensor) if self.holds(tensor) else tensor

        args, kwargs = tree_map_only(Tensor, real, (args, kwargs))
        func(*args, **kwargs)
        return generator, state

    def _scrap(self, tensor: Tensor) -> Tensor:
        """Memory laid out as the tensor, for values that nobody wants.

        It is kept for the next draw: fresh memory each time, with the small things in between
        that stay, would cut the allocator's heap into holes of which none is large enough.
        """
        size = tensor.untyped_storage().nbytes()
        if self._scratch.numel() < size:
            self._scratch = torch.empty(size, dtype=torch.uint8)
        flat = torch.empty(0, dtype=tensor.dtype)
        return flat.set_(self._scratch.untyped_storage(), 0, tensor.size(), tensor.stride())

    def _frozen(self, tensor: Tensor) -> Any:
        """An argument as the tape keeps it: a place, or values that nobody changes later."""
        return self._tape.view(tensor) if self.holds(tensor) else tensor.detach().clone()

    def _storages(self, tensors: Iterable[Tensor]) -> frozenset[int]:
        return frozenset(self._tape.view(t).storage for t in tensors if self.holds(t))


_aten = torch.ops.aten
_EMPTY = {_aten.empty, _aten.empty_strided, _aten.empty_like, _aten.new_empty}


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _written(func: Any, args: Any, kwargs: Any) -> list[Tensor]:
    """The tensors among the arguments that the operation changes."""
    changed = []
    for position, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            inside = args[position] if position < len(args) else kwargs.get(argument.name)
            changed += _tensors(inside)
    return changed


def _has_device(func: Any) -> bool:
    return any(argument.name == "device" for argument in func._schema.arguments)


def _is_named_meta(device: Any) -> bool:
    return device is not None and torch.device(device).type == "meta"


def _makes_anew(func: Any, given: Sequence[Tensor], kwargs: Mapping[str, Any]) -> bool:
    """Whether the operation makes a tensor, with memory, of none that has any."""
    device = kwargs.get("device")
    if not _has_device(func) or _is_named_meta(device):
        return False
    return not given or (device is not None and all(is_meta(t) for t in given))


def _for_meta(func: Any, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments for the meta device, which has no random generator either."""
    found = {**kwargs, "device": "meta"} if _has_device(func) else dict(kwargs)
    return {**found, "generator": None} if "generator" in found else found


def _on_meta(tree: Any) -> Any:
    def outline(tensor: Tensor) -> Tensor:
        if is_meta(tensor):
            return tensor
        return torch.empty_strided(
            tensor.size(), tensor.stride(), dtype=tensor.dtype, device="meta"
        )

    return tree_map_only(Tensor, outline, tree)
