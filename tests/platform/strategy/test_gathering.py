"""Gathered rows, and the gradient of what every worker computes from them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

ROWS = (3, 2)
"""Rows of each worker: shares may differ by one."""


def _inputs() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(5, 4, generator=generator, dtype=torch.float64)
    w = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    return x, w


def _coupled(rows: Tensor) -> Tensor:
    """Every row meets every other one."""
    return torch.logsumexp(rows @ rows.T, dim=1).square().mean()


def _own(rank: int) -> slice:
    return slice(sum(ROWS[:rank]), sum(ROWS[: rank + 1]))


def _on_worker(twice: bool) -> tuple[Tensor, Tensor, Tensor]:
    import torch.distributed as dist

    from trainwright.strategy import Context

    context = Context(seed=0)
    x, w = _inputs()
    w.requires_grad_()
    rows = context.gather(torch.tanh(x[_own(dist.get_rank())] @ w))
    loss = _coupled(rows)
    [grad] = torch.autograd.grad(loss, w, create_graph=twice)
    if twice:
        # The gradient of the global loss is the mean over the workers; so is that of its norm.
        grad = grad.clone()
        total = context.gather(grad[None]).mean(dim=0)
        [grad] = torch.autograd.grad(total.square().sum(), w)
    dist.all_reduce(grad)
    return rows.detach(), loss.detach(), grad / dist.get_world_size()


@pytest.mark.parametrize("twice", [False, True], ids=["gradient", "gradient of a gradient"])
def test_a_gathered_loss_has_the_gradient_of_one_process(twice: bool, two_workers: Any) -> None:
    x, w = _inputs()
    w.requires_grad_()
    rows = torch.tanh(x @ w)
    loss = _coupled(rows)
    [grad] = torch.autograd.grad(loss, w, create_graph=twice)
    if twice:
        [grad] = torch.autograd.grad(grad.square().sum(), w)
    for got_rows, got_loss, got_grad in two_workers.run(_on_worker, twice):
        assert torch.equal(got_rows, rows)
        torch.testing.assert_close(got_loss, loss)
        torch.testing.assert_close(got_grad, grad)


def _formats() -> list[Tensor]:
    import torch.distributed as dist

    from trainwright.strategy.gathering import gather_rows

    own = torch.arange(6)[:5][_own(dist.get_rank())]
    dtypes = (torch.int64, torch.bool, torch.bfloat16, torch.float64)
    nothing = own.new_empty(0, 2)
    some = own if dist.get_rank() == 1 else own[:0]
    return [gather_rows(x) for x in (*(own.to(d) for d in dtypes), nothing, some)]


def test_every_number_format_and_no_rows_at_all(two_workers: Any) -> None:
    whole = torch.arange(5)
    dtypes = (torch.int64, torch.bool, torch.bfloat16, torch.float64)
    expected = [*(whole.to(d) for d in dtypes), torch.empty(0, 2, dtype=torch.int64), whole[3:]]
    for got in two_workers.run(_formats):
        for a, b in zip(got, expected, strict=True):
            assert a.dtype == b.dtype
            assert torch.equal(a, b)


def test_alone_it_is_the_tensor_itself() -> None:
    from trainwright.strategy import Context

    x = torch.randn(3, requires_grad=True)
    assert Context(seed=0).gather(x) is x
    with pytest.raises(ValueError, match=r"reshape it to \(1,\)"):
        Context(seed=0).gather(torch.tensor(1.0))
