"""SparseGPT and GPTQ: by hand, against a slow reference, ends, layers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from trainwright_strategies.compression.plain import nearest, pruned, quantized, steps_of
from trainwright_strategies.compression.second_order import (
    columns,
    gptq,
    inverse_factor,
    refuse_without_columns,
    relative_error,
    sparsegpt,
)

PAIR = torch.tensor([[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def problem(rows: int, width: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """A weight, and second moments of inputs that depend on each other."""
    mixing = torch.randn(width, width, generator=generator(1), dtype=torch.float64)
    x = torch.randn(40, width, generator=generator(2), dtype=torch.float64) @ mixing
    return torch.randn(rows, width, generator=generator(3), dtype=dtype), x.T @ x


def slow(
    weight: Tensor, moments: Tensor, damping: float, replaced: Callable[[int, int, float], float]
) -> Tensor:
    """Row by row the formula of optimal brain surgery, with a new inverse for each column."""
    n = len(moments)
    damped = moments + damping * moments.diagonal().mean() * torch.eye(n, dtype=moments.dtype)
    found = weight.double().clone()
    for i, row in enumerate(found):
        for j in range(n):
            inverse = torch.linalg.inv(damped[j:, j:])
            instead = replaced(i, j, float(row[j]))
            row[j:] -= (row[j] - instead) / inverse[0, 0] * inverse[0]
            row[j] = instead
    return found


def test_a_weight_takes_over_what_was_pruned() -> None:
    weight = torch.tensor([[1.0, 1.0, 5.0]])
    found = sparsegpt(weight, PAIR, 1, 1e-12)
    # The first and the second input go together, with regression coefficient a half.
    torch.testing.assert_close(found, torch.tensor([[0.0, 1.5, 5.0]]))


def test_a_rounding_is_made_good_by_the_next_column() -> None:
    weight = torch.tensor([[0.4, 0.4, 1.0]])
    assert quantized(weight, 2).tolist() == [[0.0, 0.0, 1.0]]
    # 0.4 was lost, half of it is added: 0.6 is nearer to 1.
    assert gptq(weight, PAIR, 2, 1e-12).tolist() == [[0.0, 1.0, 1.0]]


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_pruning_against_the_slow_formula(dtype: torch.dtype, rtol: float) -> None:
    weight, moments = problem(4, 7, dtype)
    found = sparsegpt(weight, moments, 17, 0.05)
    damped = moments + 0.05 * moments.diagonal().mean() * torch.eye(7, dtype=torch.float64)
    left = [torch.linalg.inv(damped[j:, j:])[0, 0] for j in range(7)]
    scores = weight.double().square() / torch.stack(left)
    mask = scores > scores.flatten().sort().values[16]
    expected = slow(weight, moments, 0.05, lambda i, j, value: value * float(mask[i, j]))
    assert found.dtype == dtype
    assert int((found == 0).sum()) == 17
    torch.testing.assert_close(found.double(), expected, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_rounding_against_the_slow_formula(bits: int) -> None:
    weight, moments = problem(4, 7)
    steps = steps_of(weight, bits)

    def replaced(i: int, j: int, value: float) -> float:
        return float(nearest(torch.tensor([[value]], dtype=torch.float64), steps[i, None], bits))

    expected = slow(weight, moments, 0.05, replaced)
    torch.testing.assert_close(gptq(weight, moments, bits, 0.05), expected, rtol=1e-10, atol=1e-10)
    for row in gptq(weight, moments, bits, 0.05):
        assert len(row.unique()) <= max(2, 2**bits - 1)


def test_for_inputs_that_do_not_depend_on_each_other_nothing_is_corrected() -> None:
    weight, _ = problem(5, 6, torch.float32)
    white = 3 * torch.eye(6, dtype=torch.float64)
    torch.testing.assert_close(sparsegpt(weight, white, 11, 0.01), pruned(weight, 11))
    torch.testing.assert_close(gptq(weight, white, 3, 0.01), quantized(weight, 3))


def test_corrected_layers_have_smaller_errors() -> None:
    weight, moments = problem(20, 12)
    for count in (60, 120):
        plain = relative_error(weight, pruned(weight, count), moments)
        assert relative_error(weight, sparsegpt(weight, moments, count, 0.01), moments) < plain
    for bits in (2, 3, 4):
        plain = relative_error(weight, quantized(weight, bits), moments)
        assert relative_error(weight, gptq(weight, moments, bits, 0.01), moments) < plain


def test_ends() -> None:
    weight, moments = problem(3, 5, torch.float32)
    torch.testing.assert_close(sparsegpt(weight, moments, 0, 0.01), weight)
    assert sparsegpt(weight, moments, 15, 0.01).tolist() == [[0.0] * 5] * 3
    # An input that is always 0 is pruned first, and no input at all is no reason to fail.
    dead = moments.clone()
    dead[2], dead[:, 2] = 0, 0
    assert sparsegpt(weight, dead, 3, 1e-4)[:, 2].tolist() == [0.0] * 3
    nothing = torch.zeros_like(moments)
    torch.testing.assert_close(sparsegpt(weight, nothing, 4, 0.01), pruned(weight, 4))
    torch.testing.assert_close(gptq(weight, nothing, 3, 0.01), quantized(weight, 3))
    assert relative_error(weight, 0 * weight, nothing) == 0
    half = sparsegpt(weight.bfloat16(), moments, 7, 0.01)
    assert half.dtype == torch.bfloat16
    assert half.isfinite().all()


def test_factor() -> None:
    _, moments = problem(1, 6)
    factor = inverse_factor(moments, 0.1)
    damped = moments + 0.1 * moments.diagonal().mean() * torch.eye(6, dtype=torch.float64)
    torch.testing.assert_close(factor.T @ factor @ damped, torch.eye(6, dtype=torch.float64))
    assert torch.equal(factor, factor.triu())


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(5, 3, bias=False), (4, 5)),
        (nn.Linear(5, 3, bias=False), (2, 7, 5)),
        (nn.Conv2d(2, 3, 3, stride=2, padding=1, bias=False), (2, 2, 7, 6)),
        (nn.Conv2d(2, 3, (2, 3), dilation=2, bias=False), (2, 2, 7, 6)),
    ],
)
def test_the_error_is_that_of_a_layers_outputs(layer: nn.Module, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    layer = layer.double()
    inputs, weight = torch.randn(shape, dtype=torch.float64), layer.weight.detach().clone()
    x = columns(layer, inputs)
    with torch.no_grad():
        whole = layer(inputs)
        layer.weight.copy_(quantized(weight, 3))
        change = layer(inputs) - whole
    expected = float(change.square().sum() / whole.square().sum())
    found = relative_error(weight, layer.weight.detach(), x.T @ x)
    assert found == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv1d(2, 2, 3),
        nn.ConvTranspose2d(2, 2, 3),
        nn.Conv2d(2, 2, 3, groups=2),
        nn.Conv2d(2, 2, 3, padding="same"),
        nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular"),
    ],
)
def test_other_layers_are_refused(layer: nn.Module) -> None:
    with pytest.raises(ValueError, match=r"^odd: second moments are those of linear layers"):
        refuse_without_columns({"fine": nn.Linear(2, 2), "odd": layer})
