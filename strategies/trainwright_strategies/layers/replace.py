"""Putting other modules in the place of some of a model's own."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn


def replace_modules(model: nn.Module, replacements: Mapping[nn.Module, nn.Module]) -> nn.Module:
    """Replace modules wherever they stand in ``model``, also one that stands at several places.

    Args:
        model: changed in place.
        replacements: module of the model -> module to put there, compared by identity.

    Returns:
        ``model``, or its replacement if ``model`` itself is to be replaced.
    """
    for parent in list(model.modules()):
        for name, child in parent._modules.items():  # named_children gives a shared child once
            if child is not None and child in replacements:
                parent._modules[name] = replacements[child]
    return replacements.get(model, model)
