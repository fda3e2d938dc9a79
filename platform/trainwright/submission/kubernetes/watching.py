"""A RayJob as it changes, over connections that break."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

from trainwright.submission.kubernetes.api import Api
from trainwright.submission.kubernetes.errors import Action, Refusal, Unreachable
from trainwright.submission.kubernetes.resources import RAYJOBS, Json

_WATCH_S = 240


class Watcher:
    """Watches one RayJob.

    Args:
        api: the API server.
        namespace: of the RayJob.
        name: of the RayJob.
        stop: ends it.
        retry_s: seconds before a connection that broke is made again.
    """

    def __init__(
        self,
        api: Api,
        namespace: str,
        name: str,
        stop: threading.Event,
        retry_s: float,
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._name = name
        self._stop = stop
        self._retry_s = retry_s

    def changes(self) -> Iterator[Json | None]:
        """The RayJob whenever it changes, as it is at first; None once it is gone.

        Connections that break, and versions that the server no longer knows, are no end. It ends
        with None, or when it is stopped.

        Raises:
            Refusal: the user may not watch it.
        """
        version, fields = "", f"metadata.name={self._name}"
        while not self._stop.is_set():
            is_quiet = True
            try:
                if not version:
                    found = self._api.list(RAYJOBS, self._namespace, fields=fields)
                    version = found.version
                    yield found.items[0] if found.items else None
                    if not found.items:
                        return
                for kind, job in self._events(fields, version):
                    is_quiet = False
                    version = str(job["metadata"]["resourceVersion"])
                    if kind == "DELETED":
                        yield None
                        return
                    if kind != "BOOKMARK":
                        yield job
            except Unreachable:
                pass  # who looks at the job tells of it
            except Refusal as error:
                if error.status == 410:
                    version = ""
                elif error.status < 500 and error.status != 429:
                    raise
            if is_quiet:
                self._stop.wait(self._retry_s)

    def _events(self, fields: str, version: str) -> Iterator[tuple[str, Json]]:
        query = {
            "watch": "true",
            "fieldSelector": fields,
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_WATCH_S),
        }
        action = Action("watch", RAYJOBS, self._namespace)
        for line in self._api.lines(action, query, _WATCH_S + 30, self._stop):
            try:
                event = json.loads(line)
            except ValueError:
                return  # cut off in the middle
            if event["type"] == "ERROR":
                raise self._api.refused(event["object"], action)
            yield event["type"], event["object"]
