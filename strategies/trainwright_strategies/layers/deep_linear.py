"""A classifier of several linear layers in a row."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import reduce
from itertools import pairwise

import torch
from torch import Tensor, nn


class DeepLinear(nn.Sequential):
    """Linear layers without bias and without anything between them: W_M ... W_1 x.

    Args:
        sizes: widths from the input to the output, at least two.
        init_std: standard deviation of the normal weights; None takes torch's initialisation.
    """

    def __init__(self, sizes: Sequence[int], init_std: float | None = None) -> None:
        super().__init__(*(nn.Linear(a, b, bias=False) for a, b in pairwise(sizes)))
        if init_std is not None:
            for weight in self.parameters():
                nn.init.normal_(weight, std=init_std)


def product(weights: Sequence[Tensor]) -> Tensor:
    """W_M ... W_1 of the weights from first to last."""
    return reduce(lambda inner, outer: outer @ inner, weights)


@torch.no_grad()
def folded(deep: DeepLinear, original: nn.Linear) -> nn.Linear:
    """One layer that computes what ``deep`` does, in the form of ``original``; its bias is 0."""
    layer = copy.deepcopy(original)
    layer.weight.copy_(product([weight.double() for weight in deep.parameters()]))
    if layer.bias is not None:
        layer.bias.zero_()
    return layer


def find_head(model: nn.Module, name: str | None = None) -> tuple[str, nn.Module]:
    """The classifier of a model: its name and the module.

    Args:
        model: any model.
        name: dotted name; None takes the linear layer that was registered last.

    Raises:
        ValueError: there is none, or the name belongs to something else.
    """
    heads = {
        path: module
        for path, module in model.named_modules()
        if isinstance(module, (nn.Linear, DeepLinear))
    }
    inside = {id(layer) for head in heads.values() for layer in head.children()}
    heads = {path: head for path, head in heads.items() if id(head) not in inside}
    if name is None and heads:
        return list(heads.items())[-1]
    if name is not None and name in heads:
        return name, heads[name]
    wanted = "" if name is None else f" {name!r}"
    raise ValueError(f"the model has no linear layer{wanted}; it has {', '.join(heads) or 'none'}")


def find_linear_head(model: nn.Module, name: str | None = None) -> tuple[str, nn.Linear]:
    """As :func:`find_head`, of a classifier that is a single linear layer.

    Raises:
        ValueError: there is none, or it is a deep linear one.
    """
    path, head = find_head(model, name)
    if not isinstance(head, nn.Linear):
        raise ValueError(f"the classifier {path} is a deep linear one already")
    return path, head
