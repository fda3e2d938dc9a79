"""Principal directions against worked numbers, an independent computation, and their limits."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from trainwright.federated import UPDATE, Federation, Layout, State
from trainwright.testing import Miniature, Quadratics, reduced_of
from trainwright_strategies.aggregators.principal_gradient_aggregation import (
    PrincipalGradientAggregation,
    num_directions,
    revision,
)

WORKED = [[3, 0, 0], [2, 1, 0], [1, -1, 1], [0, 2, 1], [-1, 0.5, 2]]
SETTINGS = [(c, p) for c in ("off", "majority") for p in ("rescaled", "plain")]


def tensor(rows: Any) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def random_updates(num: int = 6, size: int = 50, shared: float = 0.0, seed: int = 0) -> Tensor:
    """Noise of unit variance, plus ``shared`` times one vector that all clients have."""
    generator = torch.Generator().manual_seed(seed)
    common = torch.randn(size, dtype=torch.float64, generator=generator)
    return shared * common + torch.randn(num, size, dtype=torch.float64, generator=generator)


def revised(updates: Tensor, **options: Any) -> Tensor:
    return revision(updates @ updates.T, **options) @ updates


def step(updates: Tensor, **options: Any) -> Tensor:
    return PrincipalGradientAggregation(**options).step(updates, moved=True)


def by_definition(updates: Tensor, k: int, calibrate: str, projection: str) -> np.ndarray:
    """The equation client by client, with directions from the singular vectors of the stack."""
    rows = updates.numpy()
    _, singular, directions = np.linalg.svd(rows, full_matrices=False)
    energy = singular**2 / len(rows)
    found = np.zeros_like(rows)
    for j in range(k):
        if energy[j] <= 1e-10 * energy[0]:
            continue
        w = directions[j]
        inner = [float(row @ w) for row in rows]
        common = sum(np.sign(value) for value in inner) or sum(inner)
        for i, row in enumerate(rows):
            length = abs(inner[i])
            if projection == "rescaled":
                length = energy[j] / energy.sum() * np.linalg.norm(row)
            found[i] += length * np.sign(common if calibrate == "majority" else inner[i]) * w
    return found


def mean_cosine(rows: Tensor) -> float:
    """Over all pairs of clients."""
    units = rows / rows.norm(dim=1, keepdim=True)
    return ((units @ units.T).sum().item() - len(rows)) / (len(rows) * (len(rows) - 1))


class Server:
    """Is sent updates of tensors of some shapes, round by round."""

    def __init__(self, *shapes: tuple[int, ...]) -> None:
        layout = Layout.of((f"t{i}", torch.empty(shape)) for i, shape in enumerate(shapes))
        self.aggregator = PrincipalGradientAggregation()
        self.federation = Federation(5, 5, 9, layout, "sgd", {})
        self.weights = torch.zeros(layout.size)
        self.state: State = self.aggregator.start(self.federation)

    def step(self, updates: Tensor) -> Tensor:
        """What one round adds to the weights."""
        messages = [{UPDATE: update.float()} for update in updates]
        reduced = reduced_of(self.aggregator, messages, [3] * len(updates), self.federation)
        before = self.weights
        self.weights, self.state = self.aggregator.server(before, reduced, self.state)
        return self.weights - before


def test_the_worked_example() -> None:
    updates = tensor(WORKED)
    values = torch.linalg.eigvalsh(updates @ updates.T / 5).flip(0)
    assert values[:3].tolist() == pytest.approx([3.023801, 1.622920, 0.803279], abs=1e-6)
    assert step(updates).tolist() == pytest.approx([0.297936, 0.310295, 0.350362], abs=1e-6)
    ratios = revised(updates).norm(dim=1) / updates.norm(dim=1)
    assert ratios.tolist() == pytest.approx([0.646708] * 5, abs=1e-6)
    assert updates.mean(dim=0).tolist() == [1.0, 0.5, 0.8]


def test_identical_clients_keep_their_update() -> None:
    updates = tensor([[1, 2, 2]] * 4)
    assert step(updates).tolist() == pytest.approx([1, 2, 2], abs=1e-14)


def test_orthogonal_clients_shrink_to_their_share() -> None:
    updates = torch.diag(tensor([4, 3, 2, 1]))
    expected = [8 / 15, 0.225, 1 / 15, 0.0]
    assert step(updates, k_proportion=0.75).tolist() == pytest.approx(expected, abs=1e-12)
    shares = (revised(updates, k_proportion=0.75).norm(dim=1) / updates.norm(dim=1)).tolist()
    assert shares == pytest.approx([8 / 15, 0.3, 2 / 15, 0.0], abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_every_client_shrinks_alike(seed: int) -> None:
    updates = random_updates(seed=seed)
    values = torch.linalg.eigvalsh(updates @ updates.T / 6).flip(0)
    expected = (values[:4].square().sum().sqrt() / values.sum()).item()
    ratios = revised(updates).norm(dim=1) / updates.norm(dim=1)
    assert ratios.tolist() == pytest.approx([expected] * 6, rel=1e-6)


@pytest.mark.parametrize(("calibrate", "projection"), SETTINGS)
@pytest.mark.parametrize(("num", "size", "k"), [(6, 50, 4), (5, 3, 4), (1, 7, 1), (12, 40, 9)])
def test_random_updates_against_the_definition(
    num: int, size: int, k: int, calibrate: Any, projection: Any
) -> None:
    updates = random_updates(num, size, shared=0.5, seed=num)
    k = min(k, size)
    expected = by_definition(updates, k, calibrate, projection)
    found = revised(updates, calibrate=calibrate, projection=projection)
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-10)
    mean = step(updates, calibrate=calibrate, projection=projection)
    np.testing.assert_allclose(mean.numpy(), expected.mean(axis=0), rtol=0, atol=1e-10)


@pytest.mark.parametrize(("calibrate", "projection"), SETTINGS)
def test_equivariance(calibrate: Any, projection: Any) -> None:
    updates = random_updates(size=20, shared=0.3)
    options = {"calibrate": calibrate, "projection": projection}
    expected = step(updates, **options)
    rotation = torch.linalg.qr(random_updates(20, 20, seed=1)).Q
    torch.testing.assert_close(step(updates @ rotation, **options), expected @ rotation)
    torch.testing.assert_close(step(3.7e-6 * updates, **options), 3.7e-6 * expected)
    torch.testing.assert_close(step(-updates, **options), -expected)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    torch.testing.assert_close(step(updates[order], **options), expected)


@pytest.mark.parametrize(
    ("shared", "before", "after"),
    [(0.0, 0, 0), (0.5, 0.20, 0.56), (0.96, 0.47, 0.89), (2, 0.8, 0.99)],
)
def test_conflicts_between_clients_that_share_something_become_less(
    shared: float, before: float, after: float
) -> None:
    draws = [random_updates(shared=shared, seed=seed) for seed in range(400)]
    raw = [mean_cosine(updates) for updates in draws]
    found = [mean_cosine(revised(updates)) for updates in draws]
    assert np.mean(raw) == pytest.approx(before, abs=0.02)
    assert np.mean(found) == pytest.approx(after, abs=0.02)
    assert all(new > old for old, new in zip(raw, found, strict=True) if old > 0.3)


def test_rescaling_slows_down_where_clients_disagree() -> None:
    updates = random_updates(5, 650)
    assert step(updates).norm() < 0.55 * updates.mean(dim=0).norm()
    assert step(updates, projection="plain").norm() > 0.85 * updates.mean(dim=0).norm()
    whole = step(updates, projection="plain", k_proportion=1.0)
    torch.testing.assert_close(whole, updates.mean(dim=0), rtol=0, atol=1e-12)


def test_the_majority_decides_whatever_sign_the_direction_has() -> None:
    """Three against one along the first axis; two against two along the second, one longer."""
    updates = tensor([[4, 0], [4, 0], [4, 0], [-4, 0], [0, 1], [0, 1], [0, -1], [0, -2]])
    found = step(updates, calibrate="majority", projection="plain")
    assert found.tolist() == pytest.approx([16 / 8, -5 / 8], abs=1e-12)
    even = tensor([[1, 2], [-1, -2]])
    assert step(even, calibrate="majority").tolist() == [0, 0]


def test_off_a_turned_direction_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    updates = random_updates()
    expected = step(updates)
    decompose = torch.linalg.eigh

    def turned(matrix: Tensor) -> tuple[Tensor, Tensor]:
        values, vectors = decompose(matrix)
        return values, vectors * tensor([1, -1, 1, -1, -1, 1])

    monkeypatch.setattr(torch.linalg, "eigh", turned)
    torch.testing.assert_close(step(updates), expected)


def test_nothing_is_divided_by_zero() -> None:
    assert step(torch.zeros(3, 4, dtype=torch.float64)).tolist() == [0] * 4
    updates = random_updates(4, 6)
    updates[2] = 0
    assert step(updates).isfinite().all()
    assert revised(updates)[2].tolist() == [0] * 6
    assert step(random_updates(4, 6), eps=0.0).isfinite().all()
    tiny = step(random_updates(4, 6).float().double() * 1e-30)
    assert tiny.isfinite().all()
    assert tiny.any()


def test_an_update_all_but_orthogonal_to_a_direction_is_not_moved_along_it() -> None:
    updates = tensor([[2, 0], [1e-13, 1], [0, 1]])
    found = revised(updates, k_proportion=1.0)
    assert found[1].tolist() == pytest.approx([0, 1 / 3], abs=1e-9)
    loose = revised(updates, k_proportion=1.0, eps=1e-15)
    assert loose[1].tolist() == pytest.approx([2 / 3, 1 / 3], abs=1e-9)


def test_rounding_of_float32_is_no_direction() -> None:
    """The same update sent by clients that rounded differently."""
    update = random_updates(1, 200)
    updates = (update * (1 + 1e-7 * random_updates(5, 200, seed=3))).float().double()
    torch.testing.assert_close(step(updates), update[0], rtol=1e-5, atol=1e-5)


def test_the_first_round_and_single_numbers_are_plainly_averaged() -> None:
    server = Server((2, 3), (1,), ())
    updates = random_updates(5, 8)
    torch.testing.assert_close(server.step(updates), updates.mean(dim=0).float())
    second = server.step(updates)
    torch.testing.assert_close(second[6:], updates[:, 6:].mean(dim=0).float())
    torch.testing.assert_close(second[:6], step(updates[:, :6]).float())
    alone = updates[:, :1].abs() * tensor([[1], [1], [1], [-1], [-1]])
    torch.testing.assert_close(step(alone, calibrate="majority"), alone.mean(dim=0))


def test_the_server_computes_in_float64() -> None:
    server = Server((4, 50))
    server.step(random_updates(5, 200))
    before, updates = server.weights, random_updates(5, 200, seed=1).float()
    server.step(updates)
    assert server.weights.equal((before.double() + step(updates.double())).float())


def test_a_tensor_that_has_not_moved_is_plainly_averaged() -> None:
    server = Server((4,), (4,))
    updates = random_updates(5, 8)
    updates[:, 4:] = 0
    server.step(updates)
    updates = random_updates(5, 8, seed=1)
    found = server.step(updates)
    torch.testing.assert_close(found[:4], step(updates[:, :4]).float())
    torch.testing.assert_close(found[4:], updates[:, 4:].mean(dim=0).float())
    torch.testing.assert_close(server.step(updates)[4:], step(updates[:, 4:]).float())


def test_the_history_is_the_running_average_of_steps() -> None:
    server = Server((8,))
    first = server.step(random_updates(3, 8))
    second = server.step(random_updates(3, 8, seed=1))
    expected = 0.99 * 0.01 * first + 0.01 * second
    torch.testing.assert_close(server.state["history"], expected)


@pytest.mark.parametrize("projection", ["rescaled", "plain"])
def test_the_optimum_that_all_clients_share_is_found(projection: Any) -> None:
    optimum = random_updates(1, 6)
    aggregator = PrincipalGradientAggregation(projection=projection)
    found = Miniature(aggregator, Quadratics(optimum.repeat(5, 1))).run(150).weights
    torch.testing.assert_close(found, optimum[0].float(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("num", "k_proportion", "expected"),
    [(5, 0.8, 4), (1, 0.8, 1), (4, 0.1, 1), (6, 0.8, 4), (100, 0.29, 29), (7, 1.0, 7)],
)
def test_the_number_of_directions(num: int, k_proportion: float, expected: int) -> None:
    assert num_directions(num, k_proportion) == expected


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_updates_that_are_not_finite(value: float) -> None:
    updates = random_updates(3, 4)
    updates[1, 2] = value
    with pytest.raises(ValueError, match="needs updates that are finite"):
        step(updates)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k_proportion": 0.0}, "k_proportion must be above 0 and at most 1, got 0.0"),
        ({"k_proportion": 1.1}, "k_proportion must be above 0 and at most 1"),
        ({"k_proportion": math.nan}, "k_proportion must be above 0 and at most 1"),
        ({"calibrate": "on"}, "calibrate must be off or majority, got 'on'"),
        ({"projection": "full"}, "projection must be rescaled or plain, got 'full'"),
        ({"eps": -1e-9}, "eps must be at least 0 and below 1"),
        ({"eps": math.nan}, "eps must be at least 0 and below 1"),
    ],
)
def test_ill_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        PrincipalGradientAggregation(**options)
