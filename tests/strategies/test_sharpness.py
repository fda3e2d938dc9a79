"""Sharpness against whole spectra: quadratics, linear models and small networks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hessian_step import HessianStep
from torch import Tensor, nn
from torch.func import functional_call

from trainwright.strategy import Context, Gradient, Plan
from trainwright_strategies.sharpness import Sharpness, Top, lanczos, power_iteration

METHODS = [power_iteration, lanczos]


def matrix_product(matrix: Tensor) -> Any:
    return lambda vector: Gradient({"w": matrix @ vector["w"]})


def start(size: int, seed: int = 0) -> Gradient:
    generator = torch.Generator().manual_seed(seed)
    return Gradient({"w": torch.randn(size, generator=generator, dtype=torch.float64)})


def diagonal(*values: float) -> Any:
    return matrix_product(torch.diag(torch.tensor(values, dtype=torch.float64)))


@pytest.mark.parametrize("method", METHODS)
def test_a_quadratic(method: Any) -> None:
    top = method(diagonal(3.0, 1.0, 0.5), start(3), 30)
    assert top.value == pytest.approx(3.0, abs=1e-9)
    assert abs(float(top.vector["w"][0])) == pytest.approx(1.0)
    assert not top.negative


def test_negative_curvature() -> None:
    power = power_iteration(diagonal(-5.0, 2.0), start(2), 60)
    assert power.value == pytest.approx(-5.0)
    assert power.negative
    largest = lanczos(diagonal(-5.0, 2.0), start(2), 60)
    assert largest.value == pytest.approx(2.0)
    assert largest.negative


@pytest.mark.parametrize("seed", range(3))
def test_against_the_whole_spectrum(seed: int) -> None:
    torch.manual_seed(seed)
    half = torch.randn(40, 40, dtype=torch.float64)
    values, vectors = torch.linalg.eigh(half + half.T)
    top = lanczos(matrix_product(half + half.T), start(40), 40)
    assert top.value == pytest.approx(float(values[-1]), rel=1e-10)
    assert abs(float(top.vector["w"] @ vectors[:, -1])) == pytest.approx(1.0, abs=1e-6)
    product = matrix_product(half @ half.T)
    found = power_iteration(product, start(40), 2000).value
    assert found == pytest.approx(float(torch.linalg.eigvalsh(half @ half.T)[-1]), rel=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_of_nothing_and_of_rank_one(method: Any) -> None:
    assert method(diagonal(0.0, 0.0), start(2), 5).value == 0.0
    ones = torch.ones(6, 6, dtype=torch.float64)
    assert method(matrix_product(ones), start(6), 10).value == pytest.approx(6.0)


def measured(loss: Any, parameters: dict[str, Tensor], **options: Any) -> dict[str, float]:
    """What the probe records at its first update; ``rates`` for each parameter, and ``lr``."""
    lr, rates = options.pop("lr", 0.1), options.pop("rates", {})
    probe, context = Sharpness(**options), Context(seed=0)
    probe.plan(Plan(None, 1, 8, None, {"lr": lr}, {}, "sgd"))
    probe.parameters(
        [
            {"params": [(n, p)], **({"lr": rates[n]} if n in rates else {})}
            for n, p in parameters.items()
        ]
    )
    probe.begin(context)
    first = next(iter(parameters))
    taken: list[int] = []
    probe.step(HessianStep(loss, parameters, rates.get(first, lr)), lambda: taken.append(1))
    assert taken == [1]
    return {name.partition("/")[2]: float(v) for name, v in context.take_logged().items()}


def test_rates_of_parameters_scale_the_hessian() -> None:
    """Four times the rate for all is four times the sharpness; for one it is that of D H."""
    curvature = {"a": torch.tensor([3.0, 1.0]), "b": torch.tensor([2.0])}
    weights = {name: torch.ones_like(value) for name, value in curvature.items()}

    def loss(parameters: dict[str, Tensor]) -> Tensor:
        parts = [(curvature[n] * p.square()).sum() / 2 for n, p in parameters.items()]
        return torch.stack(parts).sum() + 0.5 * parameters["a"][1] * parameters["b"][0]

    hessian = torch.tensor([[3.0, 0.0, 0.0], [0.0, 1.0, 0.5], [0.0, 0.5, 2.0]])
    plain = measured(loss, weights, iterations=100)
    assert plain["top"] == pytest.approx(3.0, rel=1e-5)
    assert plain["edge"] == pytest.approx(0.15, rel=1e-5)
    every = measured(loss, weights, iterations=100, rates={"a": 0.4, "b": 0.4})
    assert every["top"] == pytest.approx(12.0, rel=1e-5)
    assert every["edge"] == pytest.approx(0.6, rel=1e-5)
    one = measured(loss, weights, iterations=100, rates={"b": 0.4})
    scaled = torch.diag(torch.tensor([1.0, 1.0, 4.0])) @ hessian
    expected = float(torch.linalg.eigvals(scaled).real.max())
    assert one["top"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("share", "converges"), [(0.99, True), (1.01, False)])
def test_beyond_the_edge_descent_diverges(share: float, converges: bool) -> None:
    curvature, rate = torch.tensor([3.0, 1.0, 0.5]), share * 2 / 3

    def loss(parameters: dict[str, Tensor]) -> Tensor:
        return (curvature * parameters["w"].square()).sum() / 2

    edge = measured(loss, {"w": torch.ones(3)}, iterations=60, lr=rate)["edge"]
    assert edge == pytest.approx(share, rel=1e-5)
    weight = torch.ones(3)
    for _ in range(2000):
        weight = weight - rate * curvature * weight
    assert (float(weight.norm()) < 1e-3) is converges


def test_a_linear_model_has_the_spectrum_of_its_kernel() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(12, 5, dtype=torch.float64), torch.randn(12, dtype=torch.float64)

    def loss(parameters: dict[str, Tensor]) -> Tensor:
        return (x @ parameters["w"] - y).square().mean() / 2

    weights = {"w": torch.zeros(5, dtype=torch.float64)}
    top = measured(loss, weights, iterations=5, method="lanczos")["top"]
    assert top == pytest.approx(float(torch.linalg.eigvalsh(x.T @ x / 12)[-1]), rel=1e-6)
    assert top == pytest.approx(float(torch.linalg.eigvalsh(x @ x.T / 12)[-1]), rel=1e-6)


def small_network() -> tuple[nn.Module, dict[str, Tensor], Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    return model, weights, torch.randn(10, 4, dtype=torch.float64)


def flat_hessian(loss: Any, weights: dict[str, Tensor]) -> Tensor:
    """The whole matrix, by torch."""
    sizes = [p.numel() for p in weights.values()]

    def of(flat: Tensor) -> Tensor:
        parts = torch.split(flat, sizes)
        named = zip(weights.items(), parts, strict=True)
        return loss({name: part.view_as(p) for (name, p), part in named})

    flat = torch.cat([p.detach().flatten() for p in weights.values()])
    return torch.autograd.functional.hessian(of, flat)


@pytest.mark.parametrize("method", ["power", "lanczos"])
def test_a_network_against_its_whole_hessian(method: str) -> None:
    model, weights, x = small_network()
    y = torch.arange(10) % 3

    def loss(parameters: dict[str, Tensor]) -> Tensor:
        return nn.functional.cross_entropy(functional_call(model, parameters, (x,)), y)

    expected = torch.linalg.eigvalsh(flat_hessian(loss, weights))
    assert expected[-1] > -expected[0]
    found = measured(loss, weights, iterations=300 if method == "power" else 60, method=method)
    assert found["top"] == pytest.approx(float(expected[-1]), rel=1e-4)
    assert found["negative"] == 0.0


def test_where_the_residual_is_zero_it_is_that_of_the_tangent_kernel() -> None:
    model, weights, x = small_network()
    target = functional_call(model, weights, (x,)).detach()

    def loss(parameters: dict[str, Tensor]) -> Tensor:
        return (functional_call(model, parameters, (x,)) - target).square().sum() / (2 * len(x))

    jacobian = torch.func.jacrev(lambda p: functional_call(model, p, (x,)))(weights)
    rows = torch.cat([part.reshape(30, -1) for part in jacobian.values()], dim=1)
    kernel = float(torch.linalg.eigvalsh(rows @ rows.T / len(x))[-1])
    found = measured(loss, weights, iterations=59, method="lanczos")["top"]
    assert found == pytest.approx(kernel, rel=1e-6)


def test_it_measures_when_it_is_time_and_begins_where_it_ended() -> None:
    probe, context, calls = Sharpness(every=3, iterations=4), Context(seed=0), []
    probe.plan(Plan(None, 1, 8, None, {"lr": 0.1}, {}, "sgd"))
    weights = {"w": torch.ones(3)}
    probe.parameters([{"params": list(weights.items())}])
    probe.begin(context)

    def loss(parameters: dict[str, Tensor]) -> Tensor:
        calls.append(1)
        return (torch.tensor([3.0, 1.0, 0.5]) * parameters["w"].square()).sum() / 2

    step = HessianStep(loss, weights, 0.1)
    found = []
    for step.index in range(7):
        probe.step(step, lambda: None)
        found.append(context.take_logged().get("sharpness/top"))
    assert [value is not None for value in found] == [True, False, False] * 2 + [True]
    assert len(calls) == 3 * 4
    errors = [abs(3.0 - value) for value in found if value is not None]
    assert errors[2] < errors[1] < errors[0]
    again = Sharpness()
    again.load_state_dict(probe.state_dict())
    assert again.state_dict()["vector"]["w"].equal(probe.state_dict()["vector"]["w"])


class _Data:
    """Samples that say which were asked for."""

    def batches(self, split: str, batch_size: int) -> Any:
        yield {"x": torch.arange(float(batch_size))}


def test_fixed_samples_stand_for_those_of_the_update() -> None:
    """Once in a product, whatever the number of micro-batches."""
    probe, context = Sharpness(num_samples=4), Context(seed=0, data=_Data())
    probe.plan(Plan(None, 1, 8, None, {"lr": 0.1}, {}, "sgd"))
    probe.parameters([{"params": [("w", torch.ones(2))]}])
    probe.begin(context)
    seen = []

    def hvp(vector: Gradient, loss: Any, batches: Any) -> Gradient:
        seen.extend(batch["x"].tolist() for batch in batches)
        return vector

    step = SimpleNamespace(
        index=0,
        learning_rates=[0.1],
        master=lambda names: {n: torch.ones(2) for n in names},
        loss=None,
        hvp=hvp,
    )
    probe.step(step, lambda: None)
    assert seen == [[0.0, 1.0, 2.0, 3.0]] * 25
    assert context.take_logged()["sharpness/top"] == pytest.approx(1.0)


def test_top_is_of_length_one() -> None:
    for method in METHODS:
        top: Top = method(diagonal(3.0, 1.0), 7.0 * start(2), 5)
        assert float(top.vector.norm()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 0}, "every must be a whole number of at least 1"),
        ({"iterations": 2.5}, "iterations must be a whole number of at least 1"),
        ({"num_samples": -1}, "num_samples must be a whole number of at least 1"),
        ({"method": "arnoldi"}, "method must be power or lanczos"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sharpness(**options)
