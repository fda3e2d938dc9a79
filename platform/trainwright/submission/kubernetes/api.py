"""Calls of the API server: objects in, objects out; tried again where that is safe."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trainwright import __version__
from trainwright.submission.kubernetes.errors import (
    Action,
    Answer,
    Refusal,
    Unreachable,
    refusal,
    unreachable,
)
from trainwright.submission.kubernetes.kubeconfig import Reach
from trainwright.submission.kubernetes.resources import Json, Resource

CONNECT_S = 4.0
"""Seconds in which a connection must come about."""

READ_S = 20.0
"""Seconds in which an answer must come."""

PAGE = 200
"""Objects in one answer of a list."""

_WAITS_S = (0.3, 1.0, 2.0, 4.0)
_LONGEST_WAIT_S = 15.0
_PATIENCE_S = 4.5
"""Seconds after which a server that is not reached is told of."""

_BUSY = (429, 500, 502, 503, 504)
_METHODS = {
    "get": "GET",
    "list": "GET",
    "watch": "GET",
    "create": "POST",
    "patch": "PATCH",
    "delete": "DELETE",
}
_TYPES = {"patch": "application/merge-patch+json"}


@dataclass(frozen=True)
class Listing:
    """What a list gave.

    Attributes:
        items: the objects.
        version: from where a watch goes on.
    """

    items: list[Json]
    version: str


class Api:
    """An API server.

    Args:
        reach: how it is reached.
        sleep: waits so many seconds.
    """

    def __init__(self, reach: Reach, sleep: Callable[[float], None] = time.sleep) -> None:
        self._reach = reach
        self._sleep = sleep
        self.last_answer = time.monotonic()

    @property
    def host(self) -> str:
        """Its URL."""
        return self._reach.host

    def get(self, resource: Resource, namespace: str, name: str) -> Json:
        """One object.

        Raises:
            Refusal: 404, there is none.
        """
        return self._json(Action("get", resource, namespace, name))

    def find(self, resource: Resource, namespace: str, name: str) -> Json | None:
        """One object; None where there is none.

        Raises:
            TargetError: there is no such kind of object, and all that can go wrong besides.
        """
        try:
            return self.get(resource, namespace, name)
        except Refusal as error:
            if error.status == 404 and not error.is_type_missing:
                return None
            raise

    def list(
        self, resource: Resource, namespace: str, labels: str = "", fields: str = ""
    ) -> Listing:
        """All objects in a namespace that selectors choose, page by page.

        A list that takes so long that the server forgets where it was begins anew, once.
        """
        try:
            return self._pages(resource, namespace, labels, fields, PAGE)
        except Refusal as error:
            if error.status != 410:
                raise
            return self._pages(resource, namespace, labels, fields, 0)

    def _pages(
        self, resource: Resource, namespace: str, labels: str, fields: str, limit: int
    ) -> Listing:
        items: list[Json] = []
        query = {"labelSelector": labels, "fieldSelector": fields, "limit": str(limit or "")}
        while True:
            found = self._json(Action("list", resource, namespace), query=query)
            items += found.get("items") or []
            metadata = found.get("metadata") or {}
            if not metadata.get("continue"):
                return Listing(items, str(metadata.get("resourceVersion", "")))
            query = {**query, "continue": metadata["continue"]}

    def create(self, resource: Resource, namespace: str, body: Mapping[str, Any]) -> Json:
        """Make an object.

        A request that broke off is sent again; the first may have gone through, and the second is
        then refused: whoever calls tells by a mark of its own whether that object is its own.

        Raises:
            Refusal: 409, there is one of that name.
        """
        name = str(body.get("metadata", {}).get("name", ""))
        return self._json(Action("create", resource, namespace, name), body=body)

    def patch(
        self, resource: Resource, namespace: str, name: str, changes: Mapping[str, Any]
    ) -> Json:
        """Merge changes into an object; None removes a value."""
        return self._json(Action("patch", resource, namespace, name), body=changes)

    def delete(self, resource: Resource, namespace: str, name: str, **preconditions: str) -> None:
        """Delete an object, and in the background all that it owns; it may be gone already.

        Args:
            resource: kind.
            namespace: where.
            name: which one.
            **preconditions: ``uid`` or ``resourceVersion`` that it must have.
        """
        body: Json = {"kind": "DeleteOptions", "apiVersion": "v1"}
        body["propagationPolicy"] = "Background"
        if preconditions:
            body["preconditions"] = preconditions
        try:
            self._json(Action("delete", resource, namespace, name), body=body)
        except Refusal as error:
            if error.status != 404 or error.is_type_missing:
                raise

    def lines(
        self,
        action: Action,
        query: Mapping[str, str],
        silence_s: float,
        stop: threading.Event,
        keeps_rest: bool = False,
    ) -> Iterator[bytes]:
        """The lines of an answer that comes bit by bit.

        Args:
            action: what is asked.
            query: parameters.
            silence_s: seconds without a byte after which the connection counts as broken.
            stop: ends it.
            keeps_rest: whether an end without a line break is a line too, or may be cut off.

        Raises:
            Unreachable: the connection broke off.
            Refusal: it was not even begun.
        """
        import urllib3

        response = self._once(action, query, None, silence_s)
        rest = b""
        try:
            for piece in response.response.stream(2**14, decode_content=True):
                self.last_answer = time.monotonic()
                if stop.is_set():
                    return
                *whole, rest = (rest + piece).split(b"\n")
                yield from whole
        except urllib3.exceptions.HTTPError as error:
            raise unreachable(error, self._reach.host) from error
        finally:
            response.response.close()
        if rest and keeps_rest:
            yield rest

    def refused(self, status: Json, action: Action) -> Refusal:
        """The error for a Status that came within an answer."""
        answer = Answer.of(int(status.get("code") or 500), json.dumps(status).encode(), None)
        return refusal(answer, action, self._reach.host, self._reach.credentials)

    def _json(
        self,
        action: Action,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Json:
        begun, waited_s = time.monotonic(), 0.0
        for wait_s in _WAITS_S:
            try:
                return self._answer(action, query or {}, body)
            except Refusal as error:
                if error.status not in _BUSY:
                    raise
                wait_s = min(error.retry_after_s or wait_s, _LONGEST_WAIT_S)
            except Unreachable as error:
                spent_s = max(waited_s, time.monotonic() - begun)
                if not error.may_pass or spent_s + wait_s > _PATIENCE_S:
                    raise
            waited_s += wait_s
            self._sleep(wait_s)
        return self._answer(action, query or {}, body)

    def _answer(
        self, action: Action, query: Mapping[str, str], body: Mapping[str, Any] | None
    ) -> Json:
        import urllib3

        response = self._once(action, query, body, READ_S)
        try:
            found: Json = json.loads(response.response.data)
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            raise unreachable(error, self._reach.host) from error
        return found

    def _once(
        self,
        action: Action,
        query: Mapping[str, str],
        body: Mapping[str, Any] | None,
        silence_s: float,
    ) -> Any:
        """The answer to one request; its body is not read yet."""
        import urllib3
        from kubernetes.client import ApiException

        client, host = self._reach.client, self._reach.host
        headers = {"Accept": "application/json", "User-Agent": f"trainwright/{__version__}"}
        if body is not None:
            headers["Content-Type"] = _TYPES.get(action.verb, "application/json")
        try:
            call = client.param_serialize(
                _METHODS[action.verb],
                action.path,
                query_params=[(key, value) for key, value in query.items() if value],
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
            )
            response = client.call_api(*call, _request_timeout=(CONNECT_S, silence_s))
            self.last_answer = time.monotonic()
            if response.status < 300:
                return response
            content = response.response.data
        except (urllib3.exceptions.HTTPError, ApiException, OSError) as error:
            raise unreachable(error, host) from error
        answer = Answer.of(response.status, content, response.getheader("Retry-After"))
        raise refusal(answer, action, host, self._reach.credentials)
