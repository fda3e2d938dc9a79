"""Files of trials: read as they were written, refused where they are damaged."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from trainwright.errors import RunError
from trainwright.search.algorithms.listed import Listed, draws
from trainwright.search.space import Sampler, Space
from trainwright.search.trialling.book import Book
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


def test_one_that_was_removed_is_done_again(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    sampler = Sampler(SPACE, 0)
    plan: Any = SimpleNamespace(most_trials=4, sampler=sampler)
    book = Book(plan, folder, Listed(draws(sampler)), [])
    begun = [book.next() for _ in range(4)]
    assert book.next() is None
    for trial in begun:
        assert trial is not None
        trial.state = "finished"
        trial.save(folder)
    (tmp_path / "trials" / "00001.json").unlink()
    again = Book(plan, folder, Listed(draws(sampler)), load_trials(folder, SPACE))
    assert [trial.number for trial in again.trials] == [0, 1, 2, 3]
    assert again.next() == Trial(1, sampler.draw(1))
    assert again.next() is None


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
