"""Watches: what changes, as it changes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from kube import errors
from kube.errors import ApiError
from kube.lists import version_of
from kube.requests import Request
from kube.resources import Resource
from kube.selectors import Matches, selector
from kube.store import Change, Json, Store
from kube.streams import Stream

INITIAL_END = "k8s.io/initial-events-end"
LONGEST_S = 3600.0
MOMENT_S = 0.25


class Watch:
    """One watch of one client.

    Args:
        store: what changes; its lock is held when the watch is made.
        resource: what is watched.
        request: its query says what of it, from which version, and how long.

    Raises:
        ApiError: 400 for a query that is wrong.

    Attributes:
        stream: what to send.
    """

    def __init__(self, store: Store, resource: Resource, request: Request) -> None:
        self._store = store
        self._resource = resource
        self._timeout_s = float(request.query.get("timeoutSeconds") or LONGEST_S)
        self._bookmarks = request.query.get("allowWatchBookmarks") == "true"
        self._api_version = resource.api_version(request.version)
        self._matches: Matches = selector(resource, request.query, request.namespace)
        version = version_of(request.query.get("resourceVersion", ""))
        initial = request.query.get("sendInitialEvents") == "true"
        self._first = self._initial(initial) if initial or not version else []
        self._seen = version if version and not initial else store.revision
        self.stream = Stream(request, pieces=self._events())

    def _initial(self, marked: bool) -> list[Json]:
        """What is there already, and the bookmark that ends it if the client asked for one."""
        found = self._store.at(self._resource.qualified, self._store.revision)
        events = [
            self._event("ADDED", found[key]) for key in sorted(found) if self._matches(found[key])
        ]
        return events + ([self._bookmark({INITIAL_END: "true"})] if marked else [])

    def _events(self) -> Iterator[bytes | None]:
        yield from map(_line, self._first)
        until = time.monotonic() + self._timeout_s
        if error := self._too_old():
            yield _line({"type": "ERROR", "object": error.body()})
            return
        while True:
            with self._store.changed:
                events = self._news()
                if not events and self.stream.ending is None:
                    self._store.changed.wait(min(MOMENT_S, max(until - time.monotonic(), 0)))
                    events = self._news()
                if self.stream.ending:
                    return  # What has happened since is for the client's next watch.
            yield from map(_line, events)
            if time.monotonic() >= until:
                if self._bookmarks:
                    yield _line(self._bookmark({}))
                return
            if not events:
                yield None

    def _too_old(self) -> ApiError | None:
        with self._store.changed:
            oldest = self._store.oldest
        return errors.too_old(self._seen, oldest) if self._seen < oldest else None

    def _news(self) -> list[Json]:
        """Events since the last call."""
        events = list(filter(None, map(self._seen_as, self._since())))
        self._seen = max(self._seen, self._store.revision)
        if self.stream.bookmark:
            self.stream.bookmark = False
            events += [self._bookmark({})] if self._bookmarks else []
        return events

    def _since(self) -> list[Change]:
        changes = self._store.changes
        place = len(changes)
        while place and changes[place - 1].revision > self._seen:
            place -= 1
        return changes[place:]

    def _seen_as(self, change: Change) -> Json | None:
        """A change as the watch's selector sees it: what begins to match is added."""
        if change.key[0] != self._resource.qualified:
            return None
        before = change.before is not None and self._matches(change.before)
        after = change.after is not None and self._matches(change.after)
        if not before and not after:
            return None
        kind = "MODIFIED" if before and after else "ADDED" if after else "DELETED"
        found = (change.after if after else change.before) or {}
        metadata = {**found["metadata"], "resourceVersion": str(change.revision)}
        return self._event(kind, {**found, "metadata": metadata})

    def _event(self, kind: str, found: Mapping[str, Any]) -> Json:
        return {"type": kind, "object": {**found, "apiVersion": self._api_version}}

    def _bookmark(self, annotations: Json) -> Json:
        metadata: Json = {
            "resourceVersion": str(self._store.revision),
            "creationTimestamp": None,
            **({"annotations": annotations} if annotations else {}),
        }
        return self._event("BOOKMARK", {"kind": self._resource.kind, "metadata": metadata})


def _line(event: Json) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode() + b"\n"
