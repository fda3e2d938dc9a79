"""What the caller of a run asks for besides the job itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainwright.orchestration.signals import StopRequest


@dataclass(frozen=True)
class Request:
    """How to run a job.

    Attributes:
        fresh: start anew beside an earlier run of the same name, which is kept.
        resume: another run to continue from under this (changed) job.
        placebo: compare with the method taken out, to see that the expectations notice.
        show: called a few times a second with the newest progress.
        started: called once the job has been found good, before anything starts, with an object
            whose ``folder`` is the run's folder.
        stop: the caller's own way to ask the run to stop, besides Ctrl-C.
        start_from: URL of another run's folder, and the name of a checkpoint in it from which
            a run without one of its own goes on; nobody checks that the two jobs go together.
        parent: name of the run that this one is part of, if it is new.
    """

    fresh: bool = False
    resume: str | None = None
    placebo: bool = False
    show: Callable[[Mapping[str, Any]], None] | None = None
    started: Callable[[Any], None] | None = None
    stop: StopRequest | None = None
    start_from: tuple[str, str] | None = None
    parent: str | None = None

    @property
    def options(self) -> list[str]:
        """The names of the options that differ from their defaults."""
        given = {"fresh": self.fresh, "resume": self.resume is not None, "placebo": self.placebo}
        return [name for name, is_given in given.items() if is_given]
