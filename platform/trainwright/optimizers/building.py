"""Optimizers from plugins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from trainwright.errors import PluginError, Problem
from trainwright.optimizers.plain import spare_compiler
from trainwright.plugins import Plugin


def build_optimizer(
    plugin: Plugin,
    params: Iterable[Tensor] | Iterable[dict[str, Any]],
    options: Mapping[str, Any],
    path: str = "optimizer",
) -> Optimizer:
    """The optimizer over ``params``.

    Args:
        plugin: a plugin of the group ``optimizers``.
        params: parameters, or parameter groups with options of their own.
        options: options as :func:`~trainwright.plugins.check_options` returned them.
        path: dotted path in the job, for messages.

    Raises:
        PluginError: the optimizer refuses its options or the parameters, or the plugin makes
            something that is no ``torch.optim.Optimizer``.
    """
    try:
        with without_compiler():
            optimizer = plugin.factory(params, **options)
    except (ValueError, TypeError) as error:
        message = f"{plugin.name} refuses its options or the parameters: {error}"
        raise PluginError(Problem(path, message, dict(options))) from error
    if not isinstance(optimizer, Optimizer):
        made = type(optimizer).__name__
        message = f"{plugin.name} makes a {made}, which is no torch.optim.Optimizer"
        raise PluginError(Problem(path, message))
    spare_compiler(optimizer)
    return optimizer


@contextmanager
def without_compiler() -> Iterator[None]:
    """Inside, making an optimizer does not import torch's compiler.

    ``Optimizer.add_param_group`` is marked as not to be compiled, and the mark imports
    ``torch._dynamo`` when it is first called, which takes longer than ``import torch`` does.
    """
    marked = Optimizer.add_param_group
    Optimizer.add_param_group = getattr(marked, "__wrapped__", marked)  # type: ignore[method-assign]
    try:
        yield
    finally:
        Optimizer.add_param_group = marked  # type: ignore[method-assign]
