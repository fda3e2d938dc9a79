"""Ghost layers against worked numbers, small batches in turn, and plain layers."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from trainwright_strategies.ghost_batch_norm import ghost_batch_norm
from trainwright_strategies.layers import ghost_moments, ghost_norm
from trainwright_strategies.layers.ghost_norm import GhostNorm, fold_, ghost_sizes


@pytest.fixture(params=["in turn", "one call", "few passes"])
def _path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test on all ways of computing the same thing."""
    choose(request.param, monkeypatch)


def choose(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ghost_norm, "VECTORISE_BELOW", 1 << 60 if way == "one call" else 0)
    monkeypatch.setattr(ghost_moments, "MIN_VALUES", 1 if way == "few passes" else 1 << 60)


def all_paths(test):
    return pytest.mark.usefixtures("_path")(test)


def layer(kind=nn.BatchNorm1d, channels: int = 1, ghost: int = 2, **options) -> GhostNorm:
    bn = options.pop("bn", {})
    return ghost_batch_norm(kind(channels, **bn), ghost, **options)


def net(dtype: torch.dtype = torch.float64) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(5, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 6), nn.BatchNorm1d(6)
    ).to(dtype)


def buffers(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.named_buffers()}


@all_paths
def test_worked_example() -> None:
    ghost = layer()
    x = torch.tensor([[1.0], [3.0], [2.0], [6.0]])
    expected = torch.tensor([[-0.999995], [0.999995], [-0.999999], [0.999999]])
    torch.testing.assert_close(ghost(x), expected, atol=1e-6, rtol=0)
    assert ghost.running_mean.item() == pytest.approx(0.58, abs=1e-6)
    assert ghost.running_var.item() == pytest.approx(1.79, abs=1e-6)
    assert ghost.num_batches_tracked == 2


def test_worked_example_of_the_plain_layer_differs() -> None:
    plain = nn.BatchNorm1d(1)
    y = plain(torch.tensor([[1.0], [3.0], [2.0], [6.0]]))
    expected = torch.tensor([[-1.069043], [0.0], [-0.534522], [1.603565]])
    torch.testing.assert_close(y, expected, atol=1e-6, rtol=0)
    assert plain.running_mean.item() == pytest.approx(0.3)
    assert plain.running_var.item() == pytest.approx(1.366667, abs=1e-6)


@all_paths
def test_worked_example_of_images() -> None:
    ghost = layer(nn.BatchNorm2d)
    y = ghost(torch.arange(16.0).view(4, 1, 2, 2)).flatten()
    half = [-1.527524, -1.091088, -0.654653, -0.218218, 0.218218, 0.654653, 1.091088, 1.527524]
    torch.testing.assert_close(y, torch.tensor(half + half), atol=1e-6, rtol=0)
    assert ghost.running_mean.item() == pytest.approx(1.465, abs=1e-6)
    assert ghost.running_var.item() == pytest.approx(1.95, abs=1e-6)


@all_paths
@pytest.mark.parametrize("momentum", [0.1, None])
def test_equals_small_batches_in_turn(momentum: float | None) -> None:
    """Gradients and statistics are those of accumulating micro-batches of the ghost size."""
    plain = net()
    for module in plain:
        if isinstance(module, nn.BatchNorm1d):
            module.momentum = momentum
    ghost = ghost_batch_norm(copy.deepcopy(plain), 4)
    for _ in range(2):
        x, target = torch.randn(12, 5, dtype=torch.float64), torch.randint(6, (12,))
        plain.zero_grad()
        ghost.zero_grad()
        for part, label in zip(x.split(4), target.split(4), strict=True):
            (nn.functional.cross_entropy(plain(part), label) / 3).backward()
        nn.functional.cross_entropy(ghost(x), target).backward()
        for expected, got in zip(plain.parameters(), ghost.parameters(), strict=True):
            torch.testing.assert_close(got.grad, expected.grad, atol=1e-14, rtol=1e-12)
        for name, expected in plain.named_buffers():
            torch.testing.assert_close(
                ghost.get_buffer(name), expected, atol=1e-12, rtol=1e-12, msg=name
            )


@all_paths
@pytest.mark.parametrize("size", [4, 5, 100])
def test_one_ghost_batch_is_the_plain_layer_bit_for_bit(size: int) -> None:
    plain = net(torch.float32)
    ghost = ghost_batch_norm(copy.deepcopy(plain), size)
    x = torch.randn(4, 5)
    assert torch.equal(plain(x), ghost(x))
    for name, value in buffers(plain).items():
        assert torch.equal(value, ghost.get_buffer(name)), name


@pytest.mark.parametrize("size", [2, 3, 100])
def test_evaluation_does_not_split(size: int) -> None:
    plain = net()
    plain(torch.randn(8, 5, dtype=torch.float64))
    ghost = ghost_batch_norm(copy.deepcopy(plain), size).eval()
    plain.eval()
    x = torch.randn(9, 5, dtype=torch.float64)
    before = buffers(ghost)
    assert torch.equal(plain(x), ghost(x))
    assert all(torch.equal(value, ghost.get_buffer(name)) for name, value in before.items())
    assert ghost(x[:1]).shape == (1, 6)


@all_paths
def test_ghost_batches_do_not_interact() -> None:
    ghost = layer(channels=3, ghost=4)
    x = torch.randn(12, 3, requires_grad=True)
    weights = torch.randn(4, 3)
    (gradient,) = torch.autograd.grad((ghost(x)[4:8] * weights).sum(), x)
    assert (gradient[:4] == 0).all()
    assert (gradient[8:] == 0).all()
    assert (gradient[4:8] != 0).all()


@all_paths
def test_moments_of_a_ghost_batch() -> None:
    ghost = layer(nn.BatchNorm2d, channels=3, ghost=4).double()
    x = torch.randn(12, 3, 5, 5, dtype=torch.float64) * 2 + 7
    y = ghost(x)
    for part, normalised in zip(x.split(4), y.split(4), strict=True):
        variance = part.var((0, 2, 3), correction=0)
        assert normalised.mean((0, 2, 3)).abs().max() < 1e-12
        torch.testing.assert_close(
            normalised.var((0, 2, 3), correction=0), variance / (variance + 1e-5)
        )


@all_paths
def test_moving_one_ghost_batch_changes_nothing() -> None:
    ghost = layer(channels=2, ghost=4, bn={"eps": 1e-12}).double()
    x = torch.randn(8, 2, dtype=torch.float64)
    moved = torch.cat([x[:4], 5 * x[4:] + 3])
    torch.testing.assert_close(ghost(moved), ghost(x))


@all_paths
def test_permutations() -> None:
    ghost = layer(channels=2, ghost=4).double()
    x = torch.randn(12, 2, dtype=torch.float64)
    start = buffers(ghost)
    y = ghost(x)
    after = buffers(ghost)

    inside = torch.cat([torch.randperm(4) + 4 * part for part in range(3)])
    ghost.load_state_dict(ghost.state_dict() | start)
    torch.testing.assert_close(ghost(x[inside]), y[inside])
    torch.testing.assert_close(ghost.running_mean, after["running_mean"])

    whole = torch.cat([torch.arange(4) + 4 * part for part in (2, 0, 1)])
    ghost.load_state_dict(ghost.state_dict() | start)
    torch.testing.assert_close(ghost(x[whole]), y[whole])
    means = [x[whole][4 * turn : 4 * turn + 4].mean(0) for turn in range(3)]
    expected = sum(0.1 * 0.9 ** (2 - turn) * mean for turn, mean in enumerate(means))
    torch.testing.assert_close(ghost.running_mean, expected)
    assert not torch.allclose(ghost.running_mean, after["running_mean"])


@all_paths
def test_scaled_running_statistics() -> None:
    """The old value keeps (1 - 0.1 / 16)^16 = 0.904554 of its weight, against 0.9^16 = 0.185302."""
    kept = {}
    for mode in ("sequential", "scaled"):
        ghost = layer(ghost=4, running_stats=mode)
        ghost.running_mean.fill_(1.0)
        ghost(torch.zeros(64, 1))
        kept[mode] = ghost.running_mean.item()
        assert ghost.num_batches_tracked == (16 if mode == "sequential" else 1)
    assert kept["sequential"] == pytest.approx(0.185302, abs=1e-6)
    assert kept["scaled"] == pytest.approx(0.904554, abs=1e-6)


def test_weights_of_the_running_statistics_sum_to_one() -> None:
    running = torch.ones(3, dtype=torch.float64)
    fold_(running, torch.ones(16, 3, dtype=torch.float64), [0.1] * 16)
    torch.testing.assert_close(running, torch.ones(3, dtype=torch.float64))


@all_paths
def test_second_derivative() -> None:
    ghost = layer(channels=2, ghost=3).double()
    x = torch.randn(6, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(ghost, x)
    assert torch.autograd.gradgradcheck(ghost, x)


@pytest.mark.parametrize("shape", [(12, 3), (12, 3, 5), (12, 3, 4, 4), (12, 3, 2, 3, 2)])
def test_all_ways_agree(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
    fresh = layer(kinds[len(shape)], channels=3, ghost=4).double()
    x = (torch.randn(shape, dtype=torch.float64) * 3 + 1).requires_grad_()
    direction = torch.randn(shape, dtype=torch.float64)
    results = []
    for way in ("in turn", "one call", "few passes"):
        choose(way, monkeypatch)
        ghost = copy.deepcopy(fresh)
        y = ghost(x)
        gradients = torch.autograd.grad((y * direction).sum(), [x, *ghost.parameters()])
        results.append((y, *gradients, *buffers(ghost).values()))
    torch.testing.assert_close(results[0], results[1])
    torch.testing.assert_close(results[0], results[2])


@all_paths
def test_channels_last_and_without_scale() -> None:
    ghost = layer(nn.BatchNorm2d, channels=3, ghost=4, bn={"affine": False})
    x = torch.randn(8, 3, 4, 4)
    torch.testing.assert_close(
        ghost(x.contiguous(memory_format=torch.channels_last)), ghost(x), atol=1e-6, rtol=1e-5
    )


@all_paths
@pytest.mark.parametrize("weights", [torch.float32, torch.bfloat16])
def test_bfloat16_statistics_are_computed_in_float32(weights: torch.dtype) -> None:
    ghost = layer(channels=8, ghost=64).to(weights)
    x = (20 + torch.randn(128, 8)).bfloat16()
    reference = layer(channels=8, ghost=64).double()
    expected = reference(x.double())
    assert ghost(x).dtype == torch.bfloat16
    torch.testing.assert_close(ghost(x).double(), expected, atol=0.02, rtol=0.02)
    reference(x.double())
    reference(x.double())
    digits = 1e-5 if weights == torch.float32 else 2e-2
    ghost(x)
    torch.testing.assert_close(
        ghost.running_mean.double(), reference.running_mean, atol=0, rtol=digits
    )


@pytest.mark.parametrize(
    ("samples", "ghost", "values", "mode", "expected"),
    [
        (20, 8, 1, "short", [8, 8, 4]),
        (17, 8, 1, "short", [8, 9]),
        (17, 8, 4, "short", [8, 8, 1]),
        (20, 8, 1, "merge", [8, 12]),
        (9, 8, 1, "short", [9]),
        (8, 8, 1, "error", [8]),
        (24, 8, 1, "error", [8, 8, 8]),
        (5, 8, 1, "error", [5]),
    ],
)
def test_sizes(samples: int, ghost: int, values: int, mode: str, expected: list[int]) -> None:
    assert ghost_sizes(samples, ghost, values, mode) == expected


def test_remainder() -> None:
    x = torch.randn(10, 1)
    short = layer(ghost=4)(x)
    for part in (slice(0, 4), slice(4, 8), slice(8, 10)):
        torch.testing.assert_close(short[part], nn.BatchNorm1d(1)(x[part]))
    merged = layer(ghost=4, on_remainder="merge")(x)
    torch.testing.assert_close(merged[4:], nn.BatchNorm1d(1)(x[4:]))
    with pytest.raises(ValueError, match="10 does not divide into ghost batches of 4"):
        layer(ghost=4, on_remainder="error")(x)


def test_single_value_has_no_variance() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        layer(ghost=1)(torch.randn(4, 1))
    assert layer(nn.BatchNorm2d, ghost=1)(torch.randn(4, 1, 3, 3)).shape == (4, 1, 3, 3)
    with pytest.raises(ValueError, match="expected 2D or 3D input"):
        layer(ghost=2)(torch.randn(4, 1, 2, 2))
