"""The log of one pod, over connections that break and containers that begin again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

from trainwright.submission.kubernetes.api import Api
from trainwright.submission.kubernetes.errors import Action, Refusal, Unreachable
from trainwright.submission.kubernetes.explain.scene import is_over
from trainwright.submission.kubernetes.lines import Window
from trainwright.submission.kubernetes.resources import PODS, Json, name_of

_TRIES = 3
"""How often a log that is not followed is begun again."""


@dataclass(frozen=True)
class Pace:
    """How long is waited for what, in seconds.

    Attributes:
        look_s: between looks at what does not tell by itself.
        calm_s: the same while all runs well.
        retry_s: before a connection that broke is made again.
        silence_s: after which a connection without a byte counts as broken.
        drain_s: for the rest of a log after the job has ended.
        lost_s: after which a server that does not answer is given up.
    """

    look_s: float = 4.0
    calm_s: float = 30.0
    retry_s: float = 2.0
    silence_s: float = 60.0
    drain_s: float = 10.0
    lost_s: float = 300.0


class PodLog:
    """The log of a pod's first container.

    Args:
        api: the API server.
        pod: the pod.
        follows: whether to go on until the container has ended.
        stop: ends it.
        pace: how long to wait.
    """

    def __init__(
        self, api: Api, pod: Json, follows: bool, stop: threading.Event, pace: Pace
    ) -> None:
        self._api = api
        self._follows = follows
        self._stop = stop
        self._pace = pace
        self._failures = 0
        self._uid = pod["metadata"]["uid"]
        self._container = str(pod["spec"]["containers"][0]["name"])
        self._action = Action(
            "get", PODS, pod["metadata"]["namespace"], name_of(pod), subresource="log"
        )

    def lines(self) -> Iterator[tuple[int, str]]:
        """Each line with the number of the container's run that printed it, from 0.

        It ends when the container has ended for good, or the pod is gone.

        Raises:
            TargetError: the user may not read it.
        """
        run, window = -1, Window()
        while not self._stop.is_set():
            pod = self._pod()
            if pod is None:
                return
            count = self._count(pod)
            if 0 <= run < count or (run < 0 < count):
                for text in self._read(window, previous=True):
                    yield count - 1, text
                window = Window()
            run = count
            goes_on = self._follows and not is_over(pod)
            is_quiet = True
            for text in self._read(window, follow=goes_on):
                is_quiet = False
                yield run, text
            if not goes_on:
                return
            if is_quiet:  # otherwise the pod may be gone before the next look
                self._stop.wait(self._pace.retry_s)

    def _pod(self) -> Json | None:
        """The pod now; None if it is gone."""
        while not self._stop.is_set():
            try:
                pod = self._api.find(PODS, self._action.namespace, self._action.name)
            except (Unreachable, Refusal) as error:
                self._raise_what_stays(error)
                self._stop.wait(self._pace.retry_s)
                continue
            return pod if pod is not None and pod["metadata"]["uid"] == self._uid else None
        return None

    def _count(self, pod: Json) -> int:
        """How often its container has begun again."""
        for status in (pod.get("status") or {}).get("containerStatuses") or []:
            if status.get("name") == self._container:
                return int(status.get("restartCount") or 0)
        return 0

    def _read(self, window: Window, follow: bool = False, previous: bool = False) -> Iterator[str]:
        """The lines that one connection brings; several, if it need not go on by itself."""
        while not self._stop.is_set():
            query = {
                "container": self._container,
                "timestamps": "true",
                "sinceTime": window.since,
                "follow": "true" if follow else "",
                "previous": "true" if previous else "",
            }
            window.begin()
            try:
                for line in self._api.lines(
                    self._action, query, self._pace.silence_s, self._stop, keeps_rest=not follow
                ):
                    text = window.text(line)
                    if text is not None:
                        yield text
                return
            except (Unreachable, Refusal) as error:
                if isinstance(error, Refusal) and error.status in (400, 404):
                    return  # it has not begun yet, or is gone
                self._raise_what_stays(error)
                if follow:
                    return
                self._stop.wait(self._pace.retry_s)

    def _raise_what_stays(self, error: Unreachable | Refusal) -> None:
        """Raise an error that does not pass by itself, or has come too often."""
        is_passing = isinstance(error, Unreachable) or error.status == 429 or error.status >= 500
        self._failures += 1
        if not is_passing or (not self._follows and self._failures > _TRIES):
            raise error
