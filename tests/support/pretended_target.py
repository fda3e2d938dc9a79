"""A target in the memory of the test."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from trainwright.doctor import Finding
from trainwright.submission.parcel import Parcel
from trainwright.submission.site import Site
from trainwright.submission.target import AlreadyThere, State, Submission


@dataclass
class PretendedTarget:
    """A target in the memory of the test.

    Attributes:
        site: what a job may rely on there.
        submissions: name -> what is there.
        parcels: name -> what was sent.
        before_create: called with the name of what is about to be made.
        taken: name -> how many times more it is said to be there, though nothing shows it.
        lines: of every log.
        events: what following a job gives.
        options: by which the command line names it.
    """

    site: Site = field(default_factory=lambda: Site(storage="s3://b/runs", mounts=()))
    submissions: dict[str, Submission] = field(default_factory=dict)
    parcels: dict[str, Parcel] = field(default_factory=dict)
    before_create: Callable[[str], Any] | None = None
    taken: dict[str, int] = field(default_factory=dict)
    lines: Sequence[str] = ()
    events: Sequence[str | Submission | BaseException] = ()
    options: tuple[str, ...] = ("--to", "k8s", "--profile", "gpu")
    label: str = "the pretended cluster"

    def put(self, name: str, state: State, **more: Any) -> Submission:
        """Let a submission be there."""
        made = Submission(name, "tiny", state, submitted=1.8e9 + len(self.submissions), **more)
        self.submissions[name] = made
        return made

    def preview(self, submission: str, parcel: Parcel) -> str:
        return f"name: {submission}  # [bold] :smile: {'x' * 300}\n"

    def all(self) -> list[Submission]:
        return sorted(self.submissions.values(), key=lambda one: -(one.submitted or 0))

    def find(self, submission: str) -> Submission | None:
        return self.submissions.get(submission)

    def create(self, submission: str, parcel: Parcel) -> Submission:
        if self.before_create is not None:
            self.before_create(submission)
        self.taken[submission] = self.taken.get(submission, 0) - 1
        if submission in self.submissions or self.taken[submission] >= 0:
            raise AlreadyThere(submission)
        self.parcels[submission] = parcel
        return self.put(submission, "waiting", says="images are pulled")

    def logs(self, submission: str) -> Iterator[str]:
        yield from self.lines

    def follow(self, submission: str) -> Iterator[str | Submission]:
        for event in self.events:
            if isinstance(event, BaseException):
                raise event
            if isinstance(event, Submission):
                event = replace(event, id=submission)
                self.submissions[submission] = event
            yield event

    def stop(self, submission: str) -> Submission:
        self.submissions[submission] = replace(self.submissions[submission], state="stopped")
        return self.submissions[submission]

    def delete(self, submission: str) -> None:
        del self.submissions[submission]

    def examine(self, trial: Any) -> Generator[Finding, None, None]:
        yield Finding("cluster", "ok", "it is pretended")
