"""From a request to its answer."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from kube import discovery, errors
from kube.access import Access
from kube.errors import ApiError
from kube.lists import listed
from kube.logs import Logs
from kube.objects import Objects
from kube.requests import Request
from kube.resources import Resource
from kube.store import Json, Store
from kube.streams import Stream
from kube.watches import Watch


@dataclass(frozen=True)
class Reply:
    """An answer.

    Attributes:
        code: HTTP status.
        body: an object, text, or a stream.
        headers: besides those of the body.
    """

    code: int
    body: Json | str | Stream
    headers: dict[str, str] = field(default_factory=dict)


NOTHING_THERE = Reply(404, "404 page not found\n")
"""What a path gets that no resource serves: custom resources without a definition have none."""


class Api:
    """Answers requests.

    Args:
        store: where the objects are.
        access: who may do what.
        token: that clients must bear; None, none is asked for.
    """

    def __init__(self, store: Store, access: Access, token: str | None) -> None:
        self._store = store
        self._access = access
        self._token = token
        self.objects = Objects(store)
        self.logs = Logs(store)

    def answer(self, request: Request) -> Reply:
        """The answer to a request; a refusal is one too."""
        try:
            with self._store.changed:
                return self._answer(request)
        except ApiError as error:
            return Reply(error.code, error.body(), error.headers)

    def _answer(self, request: Request) -> Reply:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if self._token and (scheme.lower(), token) != ("bearer", self._token):
            raise ApiError(401, errors.MESSAGES[401])
        found = discovery.answer(self._store.registry, request.path)
        if found is not None:
            return Reply(200, found)
        if not request.resource:
            return NOTHING_THERE
        resource = self._store.registry.find(request.group, request.version, request.plural)
        self._access.check(resource, request)
        if resource is None or not _served(resource, request):
            return NOTHING_THERE
        if request.verb not in resource.verbs:
            raise ApiError(405, errors.MESSAGES[405])
        return self._act(resource, request)

    def _act(self, resource: Resource, request: Request) -> Reply:
        if request.subresource == "log":
            stream = self.logs.answer(self.objects.get(resource, request), request)
            return Reply(200, stream) if stream else Reply(204, "")
        if resource.plural == "selfsubjectaccessreviews":
            return Reply(201, self._access.review(request.body))
        if resource.plural == "selfsubjectreviews":
            return Reply(201, self._access.whoami(request.body))
        if request.verb == "list":
            return Reply(200, listed(self._store, resource, request))
        if request.verb == "watch":
            return Reply(200, Watch(self._store, resource, request).stream)
        if request.verb == "deletecollection":
            return Reply(200, self._delete_all(resource, request))
        act = getattr(self.objects, request.verb)
        found: Json = act(resource, request)
        if found["kind"] == resource.kind:
            found = {**found, "apiVersion": resource.api_version(request.version)}
        return Reply(201 if request.verb == "create" else 200, found)

    def _delete_all(self, resource: Resource, request: Request) -> Json:
        chosen = listed(self._store, resource, request)
        for found in chosen["items"]:
            metadata = found["metadata"]
            place: dict[str, Any] = {
                "namespace": metadata.get("namespace", ""),
                "name": metadata["name"],
            }
            self.objects.delete(resource, replace(request, **place))
        return chosen


def _served(resource: Resource, request: Request) -> bool:
    """Whether the resource has what the path goes on with, and is where the path says."""
    log = (request.resource, request.verb) == ("pods/log", "get")
    status = request.subresource == "status" and resource.status
    here = resource.namespaced == bool(request.namespace)
    everywhere = request.verb in ("list", "watch") and not request.namespace
    return (not request.subresource or log or status) and (here or everywhere)
