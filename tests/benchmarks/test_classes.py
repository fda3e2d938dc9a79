"""The benchmark of output layers at many classes: its sides, its tables, a short form."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from benchmark_records import made_ratio
from classes import benchmark, exact, measure, sides, workers
from classes.batches import batches, drawn
from torch.nn import functional

SIDES = (*benchmark.WORDS, "rows")
MOST = max(measure.CLASSES)


def layer_row(num_classes: int, ours: float) -> dict[str, object]:
    seconds = {**dict.fromkeys(SIDES, ours), "log_softmax": 100 * ours}
    return {
        "classes": num_classes,
        "width": 256,
        "times": {n: {"median": s, "low": s, "high": s} for n, s in seconds.items()},
        "ratios": {n: made_ratio(0.01, 0.009, 0.011) for n in SIDES[:4]},
        "floor": ours,
    }


def worker_row(num_classes: int, ours: float) -> dict[str, object]:
    side = {"median": ours, "low": ours, "high": ours}
    return {"classes": num_classes, "width": 256, "times": {"fp32": side, "bf16": side}}


RESULTS = {
    "agreed_at": 5000,
    "agreement": [
        {
            "precision": "float64",
            "steps": 150,
            "folds": 2,
            "gradient_error": 3e-14,
            "weight_error": 3e-15,
            "tolerance": 1e-8,
        }
    ],
    "layers": [layer_row(1000, 0.004), layer_row(MOST, 0.006)],
    "workers": [worker_row(1000, 0.005), worker_row(MOST, 0.0075)],
    "drift": [{"steps": 10_000, "sums_error": 2e-14, "gram_error": 3e-14, "folds": 0}],
    "drift_of": [100_000, 128],
}


def test_the_tables() -> None:
    lines = benchmark.tables(RESULTS)
    small, large = lines[2:4]
    small_ratio = "0.0100 [0.0090, 0.0110]"
    assert small.startswith("| 256 | 1,000 | 20 | 400.00 (400.00 to 400.00) | 4.00 (4.00 to 4.00)")
    assert small.endswith(f"| {' | '.join([small_ratio] * 4)} | - | - |")
    assert large.endswith("| 1/40 | met |")
    assert "| the layer, without memory access | 256 | +0.0607 | 1.500 | 1.2 | missed |" in lines
    assert "| a whole worker, bf16 | 256 | +0.0607 | 1.500 | - | - |" in lines
    assert "| float64 | 150 | 2 | 3e-14 | 3e-15 | 1e-08 |" in lines
    assert "| 10,000 | 2e-14 | 3e-14 | 0 |" in lines
    judged = benchmark.ratios(RESULTS)
    assert [(label, goal) for label, _, goal in judged] == [("classes, 793,471, d 256", 1 / 40)]


def test_the_figure(tmp_path: Path) -> None:
    benchmark.draw(RESULTS, tmp_path / "classes.svg")
    text = (tmp_path / "classes.svg").read_text()
    for word in ("hierarchical softmax", "spherical_output, whole worker", "d = 256"):
        assert word in text


def test_our_layer_agrees_with_the_ordinary_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "MAX_CONDITION", 1.001)
    found = exact.agreement("float64", 20, 300, 16)
    assert found.gradient_error < 1e-10
    assert found.weight_error < 1e-10
    assert 0 < found.folds < 20
    with monkeypatch.context() as context:
        context.setattr(exact, "RATE", float("nan"))
        with pytest.raises(AssertionError, match="differ by nan"):
            exact.agreement("float64", 20, 300, 16)
    monkeypatch.setattr(exact, "MAX_CONDITION", 1e6)
    with pytest.raises(AssertionError, match="never multiplied out"):
        exact.agreement("float64", 20, 300, 16)


def test_what_our_layer_keeps_is_held_against_its_weights() -> None:
    rows = exact.drift([2, 5], 200, 8)
    assert [row.steps for row in rows] == [2, 5]
    assert all(max(row.sums_error, row.gram_error) < 1e-12 for row in rows)


def test_the_hierarchical_softmax_is_a_distribution_over_all_classes() -> None:
    torch.manual_seed(0)
    num_classes = 23  # clusters of 5, and one of 3
    layer = sides.Hierarchical(4, num_classes)
    features = torch.randn(1, 4)
    each = [layer(features, torch.tensor([k])) for k in range(num_classes)]
    torch.testing.assert_close(torch.stack(each).neg().exp().sum(), torch.tensor(1.0))
    target = torch.tensor([3, 22, 3, 9])
    both = layer(features.expand(4, 4), target)
    torch.testing.assert_close(both, torch.stack([each[k] for k in target]).mean())


def test_every_side_moves_its_layer_and_gives_a_gradient() -> None:
    torch.manual_seed(0)
    made = measure.made(500, 8)
    [(features, target)] = batches(1, 16, 8, 500)
    assert set(made) == set(SIDES)
    for name, step in made.items():
        gradients = []
        for _ in range(2):
            leaf = features.clone().requires_grad_()
            step(leaf, target)
            gradients.append(leaf.grad)
        if name == "rows":
            assert gradients == [None, None]
        else:
            assert not torch.equal(*gradients)


def test_a_step_of_the_full_layer_is_one_of_sgd() -> None:
    torch.manual_seed(0)
    layer = torch.nn.Linear(4, 9)
    [(features, target)] = batches(1, 16, 4, 9)
    before = layer.weight.detach().clone()
    loss = functional.cross_entropy(layer(features), target)
    (slope,) = torch.autograd.grad(loss, layer.weight)
    sides.log_softmax(layer)(features, target)
    torch.testing.assert_close(layer.weight.detach(), before - sides.RATE * slope)


def test_where_the_adaptive_softmax_is_cut() -> None:
    assert sides.cutoffs(MOST) == [200, 2_000, 20_000, 200_000]
    assert sides.cutoffs(1_000) == [200]


def test_classes_are_as_frequent_as_they_are_said_to_be() -> None:
    target = drawn(100_000, 1000, torch.Generator().manual_seed(0))
    assert (int(target.min()), int(target.max())) == (0, 999)
    share = torch.log(torch.tensor(2.0)) / torch.log(torch.tensor(1001.0))
    assert abs(float((target == 0).double().mean()) - float(share)) < 0.005


def test_every_side_comes_first_once() -> None:
    orders = [measure.turned(["a", "b", "c"], turn) for turn in range(6)]
    assert [order[0] for order in orders] == ["a", "a", "c", "c", "b", "b"]
    assert all(sorted(order) == ["a", "b", "c"] for order in orders)


@pytest.mark.slow
def test_a_short_form() -> None:
    layers = measure.compare(1000, 16, pairs=2)
    assert set(layers.times) == set(SIDES)
    assert all(ratio.pairs == 2 for ratio in layers.ratios.values())
    whole = workers.compare(300, 16, pairs=2)
    assert set(whole.times) == set(workers.PRECISIONS)
    assert min(side.median for side in whole.times.values()) > 0


@pytest.mark.slow
def test_a_process_that_fails_is_told() -> None:
    with pytest.raises(RuntimeError, match="process of drawn ended with status 1"):
        measure.in_a_process(drawn, 1, 2, None, None)
