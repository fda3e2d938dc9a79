"""Files of trials: read as they were written, refused where they are damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trainwright.errors import RunError
from trainwright.search.space import Space
from trainwright.search.trials import Milestone, Trial, load_trials
from trainwright.storage import Folder

SPACE = Space.parse({"lr": {"uniform": [0, 1]}, "depth": {"choice": [1, 2]}})


def test_they_come_back_in_order(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    trials = [
        Trial(number, {"lr": 0.25, "depth": 2}, curve=[Milestone(3, 1.0, {"m": 0.5})])
        for number in range(3)
    ]
    for trial in reversed(trials):
        trial.save(folder)
    assert load_trials(folder, SPACE) == trials


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"number": "x"}, "validation error"),
        ({"assignment": {"lr": 2.0, "depth": 1}}, "lr: 2.0 is not from 0 to 1"),
        ({"assignment": {"lr": 0.5}}, "depth has no value"),
    ],
    ids=str,
)
def test_a_damaged_one_is_named(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    folder = Folder(str(tmp_path))
    Trial(0, {"lr": 0.5, "depth": 1}).save(folder)
    file = tmp_path / "trials" / "00000.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(RunError, match=r"00000\.json is damaged") as caught:
        load_trials(folder, SPACE)
    assert reason in str(caught.value)
