"""What a Kubernetes API server answers when it refuses: a Status object."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

from kube.resources import Resource

Json = dict[str, Any]


class Cause(TypedDict):
    """One reason why an object is refused, as ``details.causes`` has it."""

    reason: str
    message: str
    field: str


REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    410: "Expired",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}

MESSAGES = {
    401: "Unauthorized",
    405: "the server does not allow this method on the requested resource",
    429: "The server has received too many requests and has asked us to try again later",
    500: 'Internal error occurred: failed calling webhook "webhook.example.com"',
    503: "the server is currently unable to handle the request",
    504: "The list operation against the requested resource could not be completed at this time",
}


class ApiError(Exception):
    """A refusal.

    Args:
        code: HTTP status.
        message: for people.
        reason: for programs; that of the code unless given.
        details: what it is about: ``name``, ``group``, ``kind``, ``uid``, ``causes``.
        metadata: of the Status: a list that has expired has ``continue`` there.
        headers: of the answer.
    """

    def __init__(
        self,
        code: int,
        message: str,
        *,
        reason: str | None = None,
        details: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason or REASONS.get(code, "")
        self.details = dict(details or {})
        self.metadata = dict(metadata or {})
        self.headers = dict(headers or {})

    def body(self) -> Json:
        """The Status object."""
        status: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata,
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            status["reason"] = self.reason
        if self.details:
            status["details"] = self.details
        return {**status, "code": self.code}


def about(resource: Resource, name: str = "", **more: Any) -> Json:
    """``details`` of an answer about an object, or a collection."""
    details: Json = {"name": name} if name else {}
    if resource.group:
        details["group"] = resource.group
    return {**details, "kind": resource.plural, **more}


def not_found(resource: Resource, name: str) -> ApiError:
    """No object has this name."""
    message = f'{resource.qualified} "{name}" not found'
    return ApiError(404, message, details=about(resource, name))


def already_exists(resource: Resource, name: str) -> ApiError:
    """Another object has this name."""
    message = f'{resource.qualified} "{name}" already exists'
    return ApiError(409, message, reason="AlreadyExists", details=about(resource, name))


MODIFIED = (
    "the object has been modified; please apply your changes to the latest version and try again"
)


def conflict(resource: Resource, name: str, why: str = MODIFIED) -> ApiError:
    """The object is not the one that the request was made for."""
    message = f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}'
    return ApiError(409, message, details=about(resource, name))


def forbidden(resource: Resource, name: str, why: str) -> ApiError:
    """Authorisation or admission refuses."""
    what = f'{resource.qualified} "{name}"' if name else resource.qualified
    return ApiError(403, f"{what} is forbidden: {why}", details=about(resource, name))


def cause(field: str, message: str, reason: str = "FieldValueInvalid") -> Cause:
    """One cause of ``invalid``; ``message`` begins with ``Invalid value:`` or the like."""
    return {"reason": reason, "message": message, "field": field}


def invalid(kind: str, group: str, name: str, causes: Iterable[Cause]) -> ApiError:
    """The object breaks rules of its kind."""
    causes = list(causes)
    texts = [f"{each['field']}: {each['message']}" for each in causes]
    listed = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    qualified = f"{kind}.{group}" if group else kind
    details: Json = {"name": name, **({"group": group} if group else {}), "kind": kind}
    details["causes"] = causes
    return ApiError(422, f'{qualified} "{name}" is invalid: {listed}', details=details)


def too_old(wanted: int, oldest: int) -> ApiError:
    """A watch starts at a version that is no longer kept."""
    return ApiError(410, f"too old resource version: {wanted} ({oldest})")
