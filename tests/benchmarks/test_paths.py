"""The benchmark of path samplers in a short form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from common import twins
from paths import measure

from trainwright.testing import Rig


@pytest.mark.slow
def test_a_short_form() -> None:
    result = measure.compare(measure.SUPERNETS[-1], pairs=2)
    assert result.ratio.pairs == result.cpu.pairs == 2
    assert min(result.ours.median, result.bare.median) > 0


def test_both_sides_take_the_same_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trainwright_strategies.supernets.sampling import PathSampling

    taken: dict[str, list[Any]] = {side: [] for side in measure.SIDES}
    drawn = PathSampling.drawn
    with Rig(tmp_path) as rig:
        for side, found in taken.items():

            def noted(self: Any, probabilities: Any, found: list[Any] = found) -> Any:
                found.append(drawn(self, probabilities))
                return found[-1]

            monkeypatch.setattr(PathSampling, "drawn", noted)
            job = twins.job_of(measure.values_of(measure.SUPERNETS[-1], side), side, pairs=1)
            values = job.model_dump(mode="json", exclude_unset=True, by_alias=True)
            rig.train({**values, "strategies": values["strategies"][:-1]})
    assert len(taken["ours"]) == 3 * twins.UPDATES
    assert taken["ours"] == taken["bare"]
