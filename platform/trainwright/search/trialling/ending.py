"""How Ray Tune's work ends when the user, or a lost process, wants it to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ray.tune import Callback, Stopper
from typing_extensions import override

from trainwright.orchestration.ray_errors import end_of_process
from trainwright.search.trialling.book import Book

_FAILURE = re.compile(r"^Failure # \d+ \(occurred at .*\)$", re.MULTILINE)
_ACTOR_SIGN = "actor died"


def reason_of(trial: Any) -> str:
    """Why the process of one of Tune's trials was lost.

    From Tune's file on this machine, to which it has just added; those that it would read itself
    are copies, which it makes later.
    """
    text = Path(trial.error_file).read_text() if trial.error_file else ""
    newest = _FAILURE.split(text)[-1].strip()
    if _ACTOR_SIGN in newest:
        return f"its process was lost: {end_of_process(newest)}"
    return newest.rpartition("\n")[2] or "its process was lost"


class Halted(BaseException):
    """Tune's work is over, or given up; no ``Exception``, after which Tune would clean up."""


class GivenUp(Exception):  # noqa: N818 - it is no error of anybody's
    """Tune's work is given up, after which Tune ends its actors and frees what they had."""


class NothingMore(Callback):  # type: ignore[misc]  # ray has no types here
    """Ends Tune's work after its last trial: analysing its own files would take it seconds."""

    @override
    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """All trials have ended, and their actors.

        Raises:
            Halted: always.
        """
        raise Halted


class AllAtOnce(Stopper):  # type: ignore[misc]  # ray has no types here
    """Ends Tune's work when nothing is to be begun any more and nothing runs.

    Tune itself would wait until there is room for trials that have not begun.

    Args:
        book: of the trials.
        cluster_stays: whether Ray goes on after the sweep, so that nothing may be left there.
    """

    def __init__(self, book: Book, cluster_stays: bool) -> None:
        self._book, self._cluster_stays = book, cluster_stays

    @override
    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Trials are ended by schedulers and by themselves."""
        return False

    @override
    def stop_all(self) -> bool:
        """Whether to end.

        Raises:
            Halted: at once, without waiting for trials.
            GivenUp: the same where Ray goes on.
        """
        if self._book.halted:
            raise GivenUp if self._cluster_stays else Halted
        return self._book.stopping and not self._book.is_running

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune writes what it holds into its folder, which nobody reads."""
        return {}


def forgiving(scheduler: Any) -> Any:
    """A scheduler with which Tune survives the loss of an actor that is being handed over.

    Tune keeps a list of trials that are being handed to a used actor, and never takes one off
    whose actor is lost meanwhile; it would then wait for that actor for ever.
    """
    original = scheduler.on_trial_error

    def on_trial_error(controller: Any, trial: Any) -> None:
        controller._resetting_trials.discard(trial)
        original(controller, trial)

    scheduler.on_trial_error = on_trial_error
    return scheduler
