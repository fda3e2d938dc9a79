"""Ray Tune's side of a sweep: where its trials come from, and what it tells of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ray.tune import Callback
from ray.tune.search import Searcher
from typing_extensions import override

from trainwright.search.marks import REPORT, TRIAL
from trainwright.search.trialling.book import Book
from trainwright.search.trialling.ending import reason_of


class Proposals(Searcher):  # type: ignore[misc]  # ray has no types here
    """Hands the trials of the book to Tune."""

    def __init__(self, book: Book) -> None:
        super().__init__()
        self._book = book

    @override
    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        """The configuration of the next trial."""
        trial = self._book.next()
        return Searcher.FINISHED if trial is None else {TRIAL: self._book.config_of(trial)}

    @override
    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """The book learns of it by ``Follower``."""


class Follower(Callback):  # type: ignore[misc]  # ray has no types here
    """Writes what Tune tells of trials into the book."""

    def __init__(self, book: Book) -> None:
        self._book = book

    @override
    def on_trial_start(
        self, iteration: int, trials: Sequence[Any], trial: Any, **info: Any
    ) -> None:
        """A trial was given to an actor."""
        self._book.began(trial.config[TRIAL]["number"])

    @override
    def on_trial_result(
        self,
        iteration: int,
        trials: Sequence[Any],
        trial: Any,
        result: dict[str, Any],
        **info: Any,
    ) -> None:
        """A trial reached a milestone, or its end."""
        self._book.reported(trial.config[TRIAL]["number"], result[REPORT])

    @override
    def on_trial_complete(
        self, iteration: int, trials: Sequence[Any], trial: Any, **info: Any
    ) -> None:
        """A trial ended, by itself or because the scheduler wanted it to."""
        self._book.stopped(trial.config[TRIAL]["number"])

    @override
    def on_trial_recover(
        self, iteration: int, trials: Sequence[Any], trial: Any, **info: Any
    ) -> None:
        """The process of a trial was lost, and it is begun again."""
        self._book.lost(trial.config[TRIAL]["number"], reason_of(trial), for_good=False)

    @override
    def on_trial_error(
        self, iteration: int, trials: Sequence[Any], trial: Any, **info: Any
    ) -> None:
        """The process of a trial was lost once too often."""
        self._book.lost(trial.config[TRIAL]["number"], reason_of(trial), for_good=True)
