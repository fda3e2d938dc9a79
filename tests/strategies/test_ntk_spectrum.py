"""The tangent kernel against whole Jacobians and closed forms."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev

from trainwright.strategy import Context, Plan
from trainwright_strategies.ntk_spectrum import NtkSpectrum, effective_rank, tangent_kernel
from trainwright_strategies.rate_ratios import rate_ratios


def small_network() -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    return model, torch.randn(6, 4, dtype=torch.float64)


def by_jacobian(model: nn.Module, x: Tensor, ratios: dict[str, float]) -> Tensor:
    """By torch's own Jacobian of the whole network."""
    weights = {name: p.detach() for name, p in model.named_parameters()}
    jacobian = jacrev(lambda p: functional_call(model, p, (x,)))(weights)
    rows = [ratios[n] ** 0.5 * part.reshape(6 * 3, -1) for n, part in jacobian.items()]
    whole = torch.cat(rows, dim=1)
    return whole @ whole.T / 6


@pytest.mark.parametrize("share", [1.0, 4.0])
def test_against_the_jacobian(share: float) -> None:
    model, x = small_network()
    names = [name for name, _ in model.named_parameters()]
    ratios = dict.fromkeys(names, 1.0) | {names[0]: share}
    found = tangent_kernel(model(x), list(model.parameters()), list(ratios.values()))
    torch.testing.assert_close(found, by_jacobian(model, x, ratios), rtol=1e-10, atol=1e-12)
    single = model.float()(x.float())
    again = tangent_kernel(single, list(model.parameters()), list(ratios.values()))
    torch.testing.assert_close(again, found, rtol=1e-5, atol=1e-5)


def test_a_linear_model_and_parameters_without_part() -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(5, 3, dtype=torch.float64), torch.randn(3, dtype=torch.float64)
    weight.requires_grad_()
    unused = torch.ones(2, dtype=torch.float64, requires_grad=True)
    found = tangent_kernel(x @ weight, [weight, unused], [1.0, 1.0])
    torch.testing.assert_close(found, x @ x.T / 5)


def test_effective_rank() -> None:
    assert effective_rank(torch.ones(4)) == pytest.approx(4.0)
    assert effective_rank(torch.tensor([7.0, 0.0, -1e-9])) == pytest.approx(1.0)
    assert effective_rank(torch.zeros(3)) == 0.0
    assert 1 < effective_rank(torch.tensor([3.0, 1.0])) < 2


def test_ratios_of_rates() -> None:
    groups: list[dict[str, Any]] = [{"params": []}, {"params": [], "lr": 0.4}]
    assert rate_ratios(groups, 0.1) == pytest.approx([1.0, 4.0])
    assert rate_ratios(groups, None) == [1.0, 1.0]
    assert rate_ratios([{"params": []}], None) == [1.0]


class _Data:
    def __init__(self, x: Tensor) -> None:
        self.x = x

    def batches(self, split: str, batch_size: int) -> Any:
        yield {"x": self.x[:batch_size]}


def test_it_records_the_spectrum_when_it_is_time() -> None:
    model, x = small_network()
    probe, context = NtkSpectrum(every=2, num_samples=6), Context(seed=0, data=_Data(x))
    probe.plan(Plan(None, 1, 8, None, {"lr": 0.1}, {}, "sgd"))
    named = list(model.named_parameters())
    probe.parameters([{"params": named[:1], "lr": 0.4}, {"params": named[1:]}])
    probe.begin(context)
    step = SimpleNamespace(index=0, forward=lambda batch: {"logits": model(batch["x"])})
    probe.step(step, lambda: None)
    logged = {name: float(value) for name, value in context.take_logged().items()}
    ratios = dict.fromkeys([name for name, _ in named], 1.0) | {named[0][0]: 4.0}
    values = torch.linalg.eigvalsh(by_jacobian(model, x, ratios))
    assert logged["ntk/top"] == pytest.approx(float(values[-1]))
    assert logged["ntk/trace"] == pytest.approx(float(values.sum()))
    assert logged["ntk/effective_rank"] == pytest.approx(effective_rank(values))
    assert len(context.attachments.histograms["ntk/eigenvalues"]) == 18
    step.index = 1
    probe.step(step, lambda: None)
    assert not context.take_logged()
    probe.output, step.index = "scores", 2
    with pytest.raises(ValueError, match="no output 'scores'; it gives logits"):
        probe.step(step, lambda: None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 0}, "every must be a whole number of at least 1"),
        ({"num_samples": 2.5}, "num_samples must be a whole number of at least 1"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NtkSpectrum(**options)
