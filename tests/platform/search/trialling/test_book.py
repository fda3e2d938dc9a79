"""The book of a sweep: what it proposes, what it learns, what it writes and when it cannot."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from trainwright.errors import RunError
from trainwright.search.algorithms.listed import Listed, draws
from trainwright.search.space import Sampler, Space
from trainwright.search.trialling.book import Book
from trainwright.search.trialling.course import Report
from trainwright.search.trials import Milestone, Trial, load_trials
from trainwright.storage import Folder

SPACE = Space.parse({"lr": {"uniform": [0, 1]}})


def book_in(folder: Path, most: int = 3, earlier: list[Trial] | None = None) -> Book:
    sampler = Sampler(SPACE, 0)
    plan: Any = SimpleNamespace(most_trials=most, sampler=sampler, space=SPACE)
    return Book(plan, Folder(str(folder)), Listed(draws(sampler)), earlier or [])


def told(**values: Any) -> dict[str, Any]:
    return asdict(Report(**values))


def begin(book: Book) -> Trial:
    trial = book.next()
    assert trial is not None
    book.began(trial.number)
    return trial


def saved(folder: Path) -> list[Trial]:
    return load_trials(Folder(str(folder)), SPACE)


def test_every_change_is_written(tmp_path: Path) -> None:
    book = book_in(tmp_path)
    trial = begin(book)
    assert [t.state for t in saved(tmp_path)] == ["running"]
    at = Milestone(5, 1.0, {"m": 0.5})
    book.reported(0, told(run="r", step=5, metrics={"m": 0.5}, curve=[at], milestone=at))
    [kept] = saved(tmp_path)
    assert (kept.run, kept.step, kept.epoch, kept.curve) == ("r", 5, 1.0, [at])
    book.reported(0, told(state="finished", run="r", step=9, seconds=2.5, metrics={"m": 0.75}))
    [kept] = saved(tmp_path)
    assert (kept.state, kept.seconds, kept.metrics) == ("finished", 2.5, {"m": 0.75})
    assert kept == trial
    assert Folder(str(tmp_path)).read_json("children.json") == {"r": "trial 000"}


def test_an_end_is_the_end(tmp_path: Path) -> None:
    """Tune says of every trial that it is complete, and of lost processes late."""
    book = book_in(tmp_path)
    begin(book)
    book.reported(0, told(state="failed", run="r", error="it broke"))
    book.stopped(0)
    book.lost(0, "gone", for_good=True)
    assert [(t.state, t.error) for t in book.trials] == [("failed", "it broke")]
    begin(book)
    book.reported(1, told(state="interrupted", run="s"))
    book.stopped(1)
    assert book.trials[1].state == "interrupted"


def test_a_lost_process(tmp_path: Path) -> None:
    book = book_in(tmp_path)
    remarks: list[str | None] = []
    book.changed = lambda trial, remark: remarks.append(remark)
    begin(book)
    book.lost(0, "its process was lost: killed\nmore", for_good=False)
    assert not book.trials[0].has_ended
    assert not book.is_running
    book.began(0)
    book.lost(0, "its process was lost: again", for_good=True)
    [kept] = saved(tmp_path)
    assert (kept.state, kept.error) == ("failed", "its process was lost: again")
    assert kept.failures == ["its process was lost: killed\nmore"]
    first, last = remarks
    assert first == "trial 0 was begun again: its process was lost: killed"
    assert last is not None
    assert last.startswith("trial 0 failed (lr=0.")
    assert last.endswith("its process was lost: again")


def test_what_was_left_is_begun_before_anything_new(tmp_path: Path) -> None:
    earlier = [Trial(0, {"lr": 0.1}, state="finished"), Trial(1, {"lr": 0.2}, state="running")]
    book = book_in(tmp_path, most=3, earlier=earlier)
    assert [begin(book).number for _ in range(2)] == [1, 2]
    assert book.next() is None
    assert not book.is_complete
    for number in (1, 2):
        book.reported(number, told(state="finished", run=f"r{number}"))
    assert book.is_complete
    assert [t.number for t in book.touched] == [1, 2]


def test_what_a_killed_attempt_had_stopped_is_settled(tmp_path: Path) -> None:
    """It may have been killed before it removed the checkpoints of stopped trials."""
    earlier = [Trial(0, {"lr": 0.1}, state="finished"), Trial(1, {"lr": 0.2}, state="stopped")]
    assert [trial.number for trial in book_in(tmp_path, earlier=earlier).touched] == [1]


def test_nothing_new_begins_while_stopping(tmp_path: Path) -> None:
    book = book_in(tmp_path)
    begin(book)
    book.stopping = True
    assert book.next() is None
    assert book.is_running
    book.reported(0, told(state="interrupted", run="r"))
    assert not book.is_running
    book.leave()
    assert [t.state for t in saved(tmp_path)] == ["interrupted"]


class _Refusing(Folder):
    """A store that is full for a while."""

    is_full = True

    def write_bytes(self, name: str, content: bytes) -> None:
        if self.is_full:
            raise OSError("no space left on device")
        super().write_bytes(name, content)

    def __truediv__(self, name: str) -> Folder:
        inner = _Refusing(super().__truediv__(name).url)
        inner.write_bytes = self._into(name)  # type: ignore[method-assign]
        return inner

    def _into(self, name: str) -> Any:
        return lambda file, content: self.write_bytes(f"{name}/{file}", content)


def test_a_store_that_refuses_for_a_while(tmp_path: Path) -> None:
    sampler = Sampler(SPACE, 0)
    plan: Any = SimpleNamespace(most_trials=2, sampler=sampler, space=SPACE)
    folder = _Refusing(str(tmp_path))
    book = Book(plan, folder, Listed(draws(sampler)), [])
    remarks: list[str | None] = []
    book.changed = lambda trial, remark: remarks.append(remark)
    begin(book)
    book.reported(0, told(state="finished", run="r"))
    assert "no space left" in str(remarks[0])
    with pytest.raises(RunError, match=r"1 trials could not be written .* Make room there"):
        book.leave()
    folder.is_full = False
    book.leave()
    assert [t.state for t in saved(tmp_path)] == ["finished"]
