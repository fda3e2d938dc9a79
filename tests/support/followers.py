"""A follower of a job on Kubernetes, read bit by bit."""

from __future__ import annotations

from collections.abc import Iterator

from ray_operator import Operator

from trainwright.submission.kubernetes.target import KubernetesTarget
from trainwright.submission.target import Submission

Event = str | Submission


class Following:
    """What a follower tells, bit by bit."""

    def __init__(self, target: KubernetesTarget, name: str) -> None:
        self._events: Iterator[Event] = target.follow(name)
        self.told: list[Event] = []

    def until(self, wanted: str) -> None:
        """Read until a line, or what a submission says or its state, has this in it."""
        for event in self._events:
            self.told.append(event)
            text = event if isinstance(event, str) else f"{event.state}: {event.says}"
            if wanted in text:
                return
        raise AssertionError(f"{wanted} did not come: {self.told}")

    def rest(self) -> Submission:
        """Read to the end; the last submission."""
        self.told += self._events
        last = self.told[-1]
        assert isinstance(last, Submission)
        return last

    def close(self) -> None:
        self._events.close()  # type: ignore[attr-defined]

    @property
    def lines(self) -> list[str]:
        return [event for event in self.told if isinstance(event, str)]

    @property
    def states(self) -> list[str]:
        states = [event.state for event in self.told if isinstance(event, Submission)]
        return [s for place, s in enumerate(states) if place == 0 or states[place - 1] != s]


def started(operator: Operator) -> str:
    operator.begin()
    submitter = operator.submit()
    operator.run()
    return submitter
