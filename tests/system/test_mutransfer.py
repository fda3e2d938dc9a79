"""With muP, and with it alone, the best rate of a narrow network is good for a wide one."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest
import yaml

import trainwright
from trainwright.search.results import Sweep

JOB = Path(__file__).parents[2] / "jobs" / "sweeps" / "mutransfer.yaml"
NARROW, WIDE = "[32, 32]", "[512, 512]"

Curve = dict[float, float]
"""Learning rate -> mean loss over seeds on samples held out."""


def curves() -> dict[tuple[str, str], Curve]:
    """With and without the strategy, at both widths."""
    job = yaml.safe_load(JOB.read_text())
    job["space"] |= {
        "strategies": {"grid": [[], job["base"]["strategies"]]},
        "model.hidden": {"grid": [[32, 32], [512, 512]]},
        "seed": {"grid": [0, 1, 2]},
    }
    del job["transfer"]
    sweep = trainwright.run({**job, "tracking": {"enabled": False}})
    assert isinstance(sweep, Sweep)
    losses: dict[tuple[str, str], dict[float, list[float]]] = {}
    for trial in sweep.trials:
        values = trial.assignment
        curve = losses.setdefault((values["strategies"], values["model.hidden"]), {})
        curve.setdefault(values["optimizer.lr"], []).append(trial.values["validation/loss"])
    return {
        place: {rate: statistics.fmean(found) for rate, found in curve.items()}
        for place, curve in losses.items()
    }


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("cluster")
def test_the_best_rate_of_a_narrow_network_is_good_for_a_wide_one_with_mup_alone() -> None:
    found = curves()

    def best(strategy: str, width: str) -> float:
        curve = found[strategy, width]
        return min(curve, key=lambda rate: curve[rate])

    def cost(strategy: str) -> float:
        """Loss of the wide network at the narrow one's best rate, over that at its own."""
        wide = found[strategy, WIDE]
        return wide[best(strategy, NARROW)] / wide[best(strategy, WIDE)]

    assert 0.5 <= best("mup", WIDE) / best("mup", NARROW) <= 2  # its neighbour at most
    assert best("none", WIDE) / best("none", NARROW) <= 0.25
    assert cost("mup") < 1.5
    assert cost("none") > 2
