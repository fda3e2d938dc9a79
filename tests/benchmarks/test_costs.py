"""The benchmark of methods' costs in a short form."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from common import twins
from costs import benchmark, layer_side, layers, methods, topology, topology_side

from trainwright.testing import Rig

RATIO = {"median": 3.3, "low": 3.0, "high": 3.6, "pairs": 2, "groups": 1}
SIDE = {"median": 0.001, "low": 0.001, "high": 0.002}


def record(**changes: Any) -> dict[str, Any]:
    row = {"name": "a", "bound": 3, "goal": 1.05, "ratio": RATIO, "cpu": RATIO}
    row |= {"ours": SIDE, "bare": SIDE, "theirs": SIDE, "ghost": SIDE, "plain": SIDE}
    row |= {"size": 32, "difference": 0.0, "gradient_difference": 0.0}
    return row | changes


def test_a_ratio_is_judged_over_the_passes_that_the_method_needs() -> None:
    results = {"methods": [record(), record(goal=None)], "layers": [], "topology": []}
    text = "\n".join(benchmark.tables(results))
    assert "| 3.300 [3.000, 3.600] | 3 | 1.100 [1.000, 1.200] | 1.05 | missed" in text
    ((label, judged, goal),) = benchmark.ratios(results)
    assert (label, goal) == ("costs, a", 1.05)
    assert judged["high"] == pytest.approx(1.2)


def test_what_is_not_installed_has_no_ratio() -> None:
    missing = record(ratio=None, cpu=None, theirs=None, difference=None)
    results = {"methods": [], "layers": [record()], "topology": [record(), missing]}
    text = "\n".join(benchmark.tables(results))
    assert text.count("not installed") == 1
    assert len({line.count("|") for line in text.splitlines() if line.startswith("| 32")}) == 1
    assert len(benchmark.ratios(results)) == 1


def test_predictions_have_no_value_twice_and_their_complements_are_exact() -> None:
    found = topology.images(32)
    prediction = found["prediction"]
    assert prediction.shape == found["target"].shape == (8, 32, 32)
    assert set(np.unique(found["target"])) == {0.0, 1.0}
    for image in prediction:
        assert len(np.unique(1 - image)) == image.size
        assert image.max() == 1
        assert image.min() >= 0
    assert np.array_equal((1 - prediction).astype(float), 1 - prediction.astype(float))


def test_turning_undoes_itself_and_different_results_are_refused() -> None:
    image = torch.arange(6.0).view(1, 2, 3)
    assert topology_side.turned(image).tolist() == [[[5, 2], [4, 1], [3, 0]]]
    assert torch.equal(topology_side.turned(topology_side.turned(image)), image)
    gradient = np.ones(4)
    assert topology.check((2.0, gradient), (2.0, gradient)) == (0.0, 0.0)
    with pytest.raises(RuntimeError, match="differs"):
        topology.check((2.0, gradient), (2.001, gradient))
    with pytest.raises(RuntimeError, match="differs"):
        topology.check((2.0, gradient), (2.0, np.ones(4) * 1.001))


def test_losses_of_layers_that_differ_are_refused() -> None:
    layers.check({"ours": [1.0, 0.5], "composer": [1.0, 0.50001]})
    with pytest.raises(RuntimeError, match="differ"):
        layers.check({"ours": [1.0, 0.5], "composer": [1.0, 0.501]})


def test_ghosts_change_the_net_of_the_layers() -> None:
    torch.manual_seed(0)
    model, images = layer_side.net(), torch.randn(64, 3, 8, 8)
    plain = model(images)
    layer_side.with_ghosts(model, "ours")
    assert not torch.allclose(model(images), plain)


@pytest.mark.parametrize("method", methods.METHODS, ids=lambda method: method.name)
@pytest.mark.slow
def test_every_method_trains_otherwise_than_the_plain_step(
    method: methods.Method, tmp_path: Path
) -> None:
    losses = []
    with Rig(tmp_path) as rig:
        for values, side in zip(methods.values_of(method), twins.SIDES, strict=True):
            job = twins.job_of(values, side, pairs=1)
            plain = job.model_dump(mode="json", exclude_unset=True, by_alias=True)
            run = rig.train({**plain, "strategies": plain["strategies"][:-1]})
            losses.append(run.curve("train/loss"))
    assert len(losses[0]) == len(losses[1]) == 3 * twins.UPDATES
    assert losses[0] != losses[1]


@pytest.mark.slow
def test_a_short_form() -> None:
    result = asdict(methods.compare(methods.METHODS[2], pairs=2))
    assert result["ratio"]["pairs"] == result["cpu"]["pairs"] == 2
    assert min(result["ours"]["median"], result["bare"]["median"]) > 0
