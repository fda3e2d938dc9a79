"""Objectives for clients side by side: what torch's give, in values and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from trainwright.federated.clients.vmapped import adapt
from trainwright.objective import Term, WeightedSum

CLIENTS, SAMPLES, CLASSES = 4, 6, 5


def adapted(objective: nn.Module) -> nn.Module:
    terms = WeightedSum([Term(objective, "term")])
    adapt(terms)
    (term,) = terms
    return term.objective


def samples(*more: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    logits = 3 * torch.randn(CLIENTS, SAMPLES, CLASSES, *more, generator=generator)
    return logits, torch.randint(CLASSES, (CLIENTS, SAMPLES, *more), generator=generator)


def losses_and_gradients(objective: nn.Module, x: Tensor, y: Tensor, vmapped: bool) -> list[Tensor]:
    x = x.clone().requires_grad_()
    if vmapped:
        losses = torch.vmap(objective)(x, y)
    else:
        losses = torch.stack([objective(*pair) for pair in zip(x, y, strict=True)])
    (losses * torch.arange(1.0, losses.numel() + 1).view_as(losses)).sum().backward()
    return [losses.detach(), x.grad]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("more", [(), (3,)], ids=["classes", "pixels"])
@pytest.mark.parametrize("ignored", [-100, 2])
def test_cross_entropy_is_that_of_torch(reduction, more, ignored) -> None:
    torchs = nn.CrossEntropyLoss(reduction=reduction, ignore_index=ignored)
    ours = adapted(torchs)
    assert ours is not torchs
    x, y = samples(*more)
    y[1, 2] = ignored
    expected = losses_and_gradients(torchs, x, y, False)
    for vmapped in (False, True):
        for found, wanted in zip(losses_and_gradients(ours, x, y, vmapped), expected, strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-7)


def test_probabilities_as_targets() -> None:
    torchs = nn.CrossEntropyLoss()
    x, _ = samples()
    shares = torch.softmax(torch.randn(x.shape, generator=torch.Generator().manual_seed(3)), -1)
    assert adapted(torchs)(x[0], shares[0]).equal(torchs(x[0], shares[0]))


@pytest.mark.parametrize(
    "objective",
    [
        nn.CrossEntropyLoss(weight=torch.ones(CLASSES)),
        nn.CrossEntropyLoss(label_smoothing=0.1),
        nn.MSELoss(),
    ],
    ids=["weights", "smoothing", "another"],
)
def test_other_objectives_stay(objective) -> None:
    assert adapted(objective) is objective
