"""Where jobs are sent: what every way to reach a cluster can do."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from trainwright.errors import InputError, RunError
from trainwright.submission.progress import Progress

if TYPE_CHECKING:
    from trainwright.doctor import Finding
    from trainwright.submission.parcel import Parcel
    from trainwright.submission.probe import Trial
    from trainwright.submission.site import Site

State = Literal["waiting", "running", "finished", "failed", "stopped"]
ENDED: tuple[State, ...] = ("finished", "failed", "stopped")


class TargetError(InputError):
    """A target cannot be reached, or does not let the user in, or lacks what is needed."""


class TargetLost(RunError):  # noqa: N818 - it may be back in a moment
    """A target that answered before does not answer now."""


class AlreadyThere(Exception):  # noqa: N818 - somebody else was faster, which is no error
    """A submission of this name exists."""


@dataclass(frozen=True)
class Submission:
    """A job that was sent, as its target tells of it.

    Attributes:
        id: its name there.
        job: the job's ``name``.
        state: ``waiting`` for room, images, queues; ``stopped`` by a user.
        says: why it waits or failed, one line; empty where there is nothing to say.
        progress: how far it is; None where that is not known.
        submitted: seconds since 1970; None where that is not known.
        ended: seconds since 1970; None while it goes on.
        run: name of its run; None until it is known.
        storage: URL of the folder of its run, or of the one around it as long as nobody knows more;
            None where that is not known either.
        details: what else a user may want to know, label -> text.
    """

    id: str
    job: str
    state: State
    says: str = ""
    progress: Progress | None = None
    submitted: float | None = None
    ended: float | None = None
    run: str | None = None
    storage: str | None = None
    details: dict[str, str] = field(default_factory=dict)

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in ENDED

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


class Target(Protocol):
    """A cluster that takes jobs.

    Every method raises ``TargetError`` when the target cannot be reached, refuses the user or lacks
    what is needed; one line says what to do.
    """

    @property
    def label(self) -> str:
        """The target in words, for people."""
        ...

    @property
    def options(self) -> tuple[str, ...]:
        """The options of the command line that name this target again: ``("--to", "k8s")``."""
        ...

    @property
    def site(self) -> Site:
        """What a job may rely on there."""
        ...

    def preview(self, submission: str, parcel: Parcel) -> str:
        """What ``create`` would send, as text; contacts nothing."""
        ...

    def all(self) -> list[Submission]:
        """Every submission of Trainwright's there, the newest first."""
        ...

    def find(self, submission: str) -> Submission | None:
        """One submission; None where there is none of that name."""
        ...

    def create(self, submission: str, parcel: Parcel) -> Submission:
        """Send a parcel.

        Raises:
            AlreadyThere: there is a submission of that name.
        """
        ...

    def logs(self, submission: str) -> Iterator[str]:
        """The lines of its log so far, without their ends."""
        ...

    def follow(self, submission: str) -> Iterator[str | Submission]:
        """Its log from the beginning, line by line, and its state whenever that changes.

        The last thing that comes is a submission that has ended. Connections that break are made
        again; no line comes twice and none is left out, as far as the cluster still has them.

        Raises:
            TargetLost: the target was silent for too long.
        """
        ...

    def stop(self, submission: str) -> Submission:
        """Stop it; a job stopped in training writes a checkpoint if it is given the time."""
        ...

    def delete(self, submission: str) -> None:
        """Remove it from the target; the run in its storage stays."""
        ...

    def examine(self, trial: Trial) -> Generator[Finding, None, None]:
        """Check whether a job could run there, one finding after the other.

        What is started there for it is removed again, also when the reader stops early.
        """
        ...
