"""What a request asks for: its path taken apart as the API server does it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

_PATH = re.compile(
    r"^/(?:api/(?P<core>v1)|apis/(?P<group>[^/]+)/(?P<version>[^/]+))"
    r"(?:/namespaces/(?P<namespace>[^/]+)(?=/[^/]+)(?!/(?:status|finalize)$))?"
    r"/(?P<plural>[^/]+)(?:/(?P<name>[^/]+)(?:/(?P<subresource>[^/]+))?)?/?$"
)
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "GET": "get"}


@dataclass(frozen=True)
class Request:
    """A request that reached the server.

    Attributes:
        method: of HTTP.
        path: without the query.
        query: parameter -> its first value.
        headers: lower-case name -> value.
        body: what was sent, decoded if it is JSON; None, nothing was.
        verb: ``create get list watch update patch delete deletecollection``; empty where the path
            is no resource's.
        group: API group, empty for the core group.
        version: of the group.
        resource: plural, with a subresource: ``pods``, ``pods/log``, ``rayjobs/status``.
        namespace: empty for resources of the cluster, and for lists of all namespaces.
        name: of the object, empty for a collection.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    verb: str = ""
    group: str = ""
    version: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""

    @property
    def plural(self) -> str:
        """The resource without a subresource."""
        return self.resource.partition("/")[0]

    @property
    def subresource(self) -> str:
        """``status``, ``log``, or nothing."""
        return self.resource.partition("/")[2]


def parse(method: str, target: str, headers: Mapping[str, str], body: Any) -> Request:
    """A request from its line, headers and body."""
    parts = urlsplit(target)
    query = {key: values[0] for key, values in parse_qs(parts.query, True).items()}
    match = _PATH.match(parts.path)
    if match is None:
        return Request(method, parts.path, query, headers, body)
    found = {key: unquote(value or "") for key, value in match.groupdict().items()}
    verb = _VERBS.get(method, "")
    if not found["name"]:
        watches = query.get("watch") in ("1", "true")
        verb = {"get": "watch" if watches else "list", "delete": "deletecollection"}.get(verb, verb)
    return Request(
        method,
        parts.path,
        query,
        headers,
        body,
        verb=verb,
        group=found["group"],
        version=found["core"] or found["version"],
        resource="/".join(filter(None, (found["plural"], found["subresource"]))),
        namespace=found["namespace"],
        name=found["name"],
    )
