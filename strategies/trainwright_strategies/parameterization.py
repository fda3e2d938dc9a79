"""How the layers of a network are scaled with its width and depth, and which layer is which."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

from torch import nn

from trainwright_strategies.patterns import check_patterns

Mode = Literal["mup", "depth_mup", "ntp", "sp"]
Role = Literal["input", "inner", "hidden", "output"]

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
_NORMS = (*_BATCH_NORMS, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)


@dataclass(frozen=True)
class Parameterization:
    """How one network of some width and depth is scaled.

    Attributes:
        mode: ``mup``, ``depth_mup`` or ``ntp``.
        width: N, the inputs of the output layer.
        depth: L, the number of hidden layers.
        gamma0: output scale at the base width.
        base_width: where gamma is gamma0.
        gain: by which the activations are multiplied, so that they stay of order one.
    """

    mode: Mode
    width: int
    depth: int = 0
    gamma0: float = 1.0
    base_width: int = 1
    gain: float = math.sqrt(2)

    @property
    def gamma(self) -> float:
        """By how much the output is made smaller than its layer's 1 / sqrt(N)."""
        if self.mode == "ntp":
            return self.gamma0
        return self.gamma0 * math.sqrt(self.width / self.base_width)

    @property
    def _branch(self) -> float:
        return math.sqrt(max(self.depth, 1)) if self.mode == "depth_mup" else 1.0

    def multiplier(self, role: Role, fan_in: int) -> float:
        """Of the weights of a layer, which are drawn from N(0, 1)."""
        if role == "input":
            return 1 / math.sqrt(fan_in)
        divisor = {"inner": 1.0, "hidden": self._branch, "output": self.gamma}[role]
        return self.gain / (math.sqrt(fan_in) * divisor)

    def rate(self, role: Role, kind: Literal["weight", "vector"], adam: bool) -> float:
        """The factor of the learning rate of a layer's weights, or of its biases."""
        if (role, kind) == ("output", "vector"):
            return 1.0  # it stands behind the division by gamma
        rate = 1.0 if adam else self.gamma**2
        if (role, kind) == ("hidden", "vector"):
            return rate / self._branch**2  # the changes of all blocks add up
        if role in ("inner", "hidden") and adam:
            narrowing = math.sqrt(self.base_width / self.width) if kind == "weight" else 1.0
            return narrowing / self._branch
        return rate

    def query_multiplier(self, head_size: int) -> float:
        """Of queries, whose products with keys the model divides by sqrt(head size) already."""
        return 1.0 if self.mode == "ntp" else 1 / math.sqrt(head_size)


def queries_of(model: nn.Module) -> dict[nn.Module, tuple[int, int]]:
    """Layer -> how many of its first outputs are queries of attention, and the size of a head."""
    parts: list[Any] = [part for part in model.modules() if hasattr(part, "queries")]
    return {layer: (number, head_size) for layer, number, head_size in (p.queries for p in parts)}


def roles_of(model: nn.Module, declared: Mapping[str, Role]) -> dict[str, Role]:
    """Which layers read the input, which give the output, and which stand between.

    Args:
        model: made of linear layers, convolutions, embeddings, norms and attention.
        declared: pattern of names -> role of layers; others: embeddings and the first layer are
            the input's, the last one is the output's. Parameters outside of layers may be
            declared ``input``: vectors that are added as they are, such as positions.

    Returns:
        Layer -> role.

    Raises:
        ValueError: there is a part without a rule, or no layer of some needed role.
    """
    layers = {
        name: part
        for name, part in model.named_modules()
        if type(part) in (nn.Linear, nn.Conv2d, nn.Embedding)
    }
    known = [*layers.values(), *(part for part in model.modules() if isinstance(part, _NORMS))]
    others = {
        ".".join(filter(None, (name, own))): type(part).__name__
        for name, part in model.named_modules()
        if part not in known
        for own, _ in part.named_parameters(recurse=False)
    }
    _refuse_others(model, {n: kind for n, kind in others.items() if not _declared(n, declared)})
    check_patterns("roles", declared, [*layers, *others])
    found: dict[str, Role] = dict.fromkeys(layers, "hidden")
    if layers:
        found |= {next(iter(layers)): "input", [*layers][-1]: "output"}
    found |= {name: "input" for name, part in layers.items() if isinstance(part, nn.Embedding)}
    for name in layers:
        found[name] = _declared(name, declared) or found[name]
    if not {"input", "output"} <= set(found.values()):
        raise ValueError("the model must have an input and an output layer: give it a hidden one")
    for name in [*others, *(n for n, part in layers.items() if isinstance(part, nn.Embedding))]:
        if _declared(name, declared) not in ("input", None):
            raise ValueError(f"roles: {name} is added as it is, and can only be input")
    return found


def _declared(name: str, declared: Mapping[str, Role]) -> Role | None:
    """The last pattern that fits decides."""
    fitting = [role for pattern, role in declared.items() if fnmatchcase(name, pattern)]
    return fitting[-1] if fitting else None


def _refuse_others(model: nn.Module, others: Mapping[str, str]) -> None:
    """Refuse parameters without a rule, and attention whose scale cannot be set."""
    if others:
        raise ValueError(
            "mup scales linear layers, convolutions and embeddings, and does not know how "
            f"{', '.join(sorted(set(others.values())))} should be scaled; vectors that are added "
            f"as they are can be declared in roles ({next(iter(others))}: input)"
        )
    blind = {
        type(part).__name__
        for part in model.modules()
        if "Attention" in type(part).__name__ and not hasattr(part, "queries")
    }
    if blind:
        raise ValueError(
            "mup divides attention scores by the size of a head, and "
            f"{', '.join(sorted(blind))} does not say what its queries are: use gpt or vit"
        )


def refuse_undamped(model: nn.Module, roles: Mapping[str, Role]) -> None:
    """The factor of depth-muP must act on what is added, and on nothing else.

    Raises:
        ValueError: batch norm would undo it, or nobody said which layers add.
    """
    if any(isinstance(part, _BATCH_NORMS) for part in model.modules()):
        raise ValueError("depth_mup damps what blocks add, and batch norm would undo that")
    if queries_of(model) and "inner" not in roles.values():
        raise ValueError(
            "depth_mup damps what blocks add: declare the layers inside of blocks as inner in "
            'roles, for gpt {"*.qkv": inner, "*.expand": inner}'
        )
