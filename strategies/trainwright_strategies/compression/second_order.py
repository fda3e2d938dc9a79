"""Layers pruned or rounded, with the weights that are left corrected: SparseGPT and GPTQ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainwright.procedure import TrainedRun
from trainwright_strategies.compression.plain import kept, nearest, steps_of


def refuse_without_columns(layers: Mapping[str, nn.Module]) -> None:
    """Refuse layers that do not multiply one matrix with their inputs.

    Raises:
        ValueError: one is neither linear nor a plain convolution.
    """
    others = [name for name, layer in layers.items() if not _has_columns(layer)]
    if others:
        raise ValueError(
            f"{', '.join(others)}: second moments are those of linear layers, and of convolutions "
            "of two dimensions in one group, padded with zeros by a number; leave it out of units"
        )


def _has_columns(layer: nn.Module) -> bool:
    if isinstance(layer, nn.Conv2d):
        is_padded_by_numbers = layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
        return layer.groups == 1 and is_padded_by_numbers
    return isinstance(layer, nn.Linear)


def columns(layer: Any, inputs: Tensor) -> Tensor:
    """What each column of a layer's weight, as a matrix, is multiplied with, shape (N, columns)."""
    if isinstance(layer, nn.Linear):
        return inputs.flatten(0, -2)
    patches = functional.unfold(
        inputs, layer.kernel_size, layer.dilation, layer.padding, layer.stride
    )
    return patches.transpose(1, 2).flatten(0, 1)


@torch.no_grad()
def second_moments(
    run: TrainedRun, model: nn.Module, layers: Mapping[str, nn.Module]
) -> dict[str, Tensor]:
    """Sums of x x^T over a run's training samples, x the inputs of each layer, in float64.

    Args:
        run: whose samples they are.
        model: with the layers in it.
        layers: by name; none that :func:`refuse_without_columns` refuses.
    """
    found: dict[str, Tensor] = {}

    def adding(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], object], None]:
        def add(layer: nn.Module, inputs: tuple[Tensor, ...], _: object) -> None:
            x = columns(layer, inputs[0]).double()
            found[name] = x.T @ x + found.get(name, 0)

        return add

    hooks = [layer.register_forward_hook(adding(name)) for name, layer in layers.items()]
    for batch in run.batches("train"):
        run.forward(batch, model)
    for hook in hooks:
        hook.remove()
    return found


def relative_error(weight: Tensor, compressed: Tensor, moments: Tensor) -> float:
    """Squared error of a layer's outputs over their squared size, both without its bias."""
    whole = weight.flatten(1).double()
    change = compressed.flatten(1).double() - whole
    size = ((whole @ moments) * whole).sum()
    error = ((change @ moments) * change).sum()
    return float(error / size.clamp_min(torch.finfo(size.dtype).tiny))


def inverse_factor(moments: Tensor, damping: float) -> Tensor:
    """Upper Cholesky factor of the inverse of the damped moments.

    Args:
        moments: shape (columns, columns).
        damping: added to the diagonal, as share of its mean, so that there is an inverse.
    """
    mean = float(moments.diagonal().mean()) or 1.0
    damped = moments + damping * mean * torch.eye(len(moments), dtype=moments.dtype)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    factor: Tensor = torch.linalg.cholesky(inverse, upper=True)
    return factor


def corrected(weight: Tensor, factor: Tensor, replaced: Callable[[int, Tensor], Tensor]) -> Tensor:
    """Columns replaced one after another, the error of each made good by those after it.

    Args:
        weight: shape (rows, columns).
        factor: see :func:`inverse_factor`.
        replaced: number of a column, and how it is by then -> what stands in its place.
    """
    left = weight.clone()
    for number in range(left.shape[1]):
        column = left[:, number].clone()
        left[:, number] = replaced(number, column)
        error = (column - left[:, number]) / factor[number, number]
        left[:, number + 1 :] -= torch.outer(error, factor[number, number + 1 :])
    return left


def sparsegpt(weight: Tensor, moments: Tensor, count: int, damping: float) -> Tensor:
    """``count`` weights set to zero, those that are missed least once the others are corrected.

    The mask is chosen at once for the whole layer.

    Args:
        weight: of a layer, flattened behind the first dimension.
        moments: see :func:`second_moments`.
        count: at most the number of weights.
        damping: see :func:`inverse_factor`.
    """
    factor = inverse_factor(moments, damping)
    rows = weight.flatten(1).double()
    mask = kept((rows / factor.diagonal()).abs(), count)
    found = corrected(rows, factor, lambda number, column: column * mask[:, number])
    return found.to(weight.dtype).view_as(weight)


def gptq(weight: Tensor, moments: Tensor, bits: int, damping: float) -> Tensor:
    """Each row rounded to the values of ``quantized``, the columns after each corrected.

    Args:
        weight: of a layer, flattened behind the first dimension.
        moments: see :func:`second_moments`.
        bits: at least 1.
        damping: see :func:`inverse_factor`.
    """
    rows = weight.flatten(1).double()
    steps = steps_of(rows, bits)
    found = corrected(
        rows,
        inverse_factor(moments, damping),
        lambda _, column: nearest(column[:, None], steps, bits).squeeze(1),
    )
    return found.to(weight.dtype).view_as(weight)
