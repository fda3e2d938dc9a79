"""What an API server refuses, and why it cannot be reached: one line each, and what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainwright.errors import Problem
from trainwright.submission.kubernetes.explain.refused import refused
from trainwright.submission.kubernetes.resources import Resource
from trainwright.submission.target import TargetError

KUBERAY = (
    "helm install kuberay-operator kuberay/kuberay-operator --version 1.7.0 --namespace kuberay "
    "--create-namespace; k8s/README.md says more"
)
"""How KubeRay is installed."""

_NO_SUCH_TYPE = ("404 page not found", "could not find the requested resource")
_CANNOT = re.compile(r'User "(?P<user>[^"]*)" cannot (?P<verb>\S+) resource "(?P<what>[^"]+)"')


@dataclass(frozen=True)
class Action:
    """Something asked of the API server.

    Attributes:
        verb: ``get``, ``list``, ``watch``, ``create``, ``patch`` or ``delete``.
        resource: what kind of object.
        namespace: where.
        name: which one; empty for all.
        subresource: ``log``, or nothing.
    """

    verb: str
    resource: Resource
    namespace: str
    name: str = ""
    subresource: str = ""

    @property
    def path(self) -> str:
        """Where the API server has it."""
        return self.resource.path(
            self.namespace, self.name if self.verb != "create" else "", self.subresource
        )

    @property
    def object(self) -> str:
        """The object in words: ``RayJob x in namespace y``."""
        name = f" {self.name}" if self.name else ""
        return f"{self.resource.kind}{name} in namespace {self.namespace}"


class Unreachable(TargetError):  # noqa: N818 - as TargetLost
    """There was no answer.

    Attributes:
        may_pass: whether it may be another matter in a second.
    """

    def __init__(self, problem: Problem, may_pass: bool = False) -> None:
        super().__init__(problem)
        self.may_pass = may_pass


class Refusal(TargetError):  # noqa: N818 - of the server, which is not always an error
    """The API server answered that it will not.

    Attributes:
        status: of HTTP.
        reason: in one word, as ``AlreadyExists``; empty where the answer was no Status.
        text: the server's own words.
        retry_after_s: when to ask again, seconds; None where the server says nothing.
        is_type_missing: whether there is no such kind of object.
    """

    def __init__(self, problem: Problem, answer: Answer) -> None:
        super().__init__(problem)
        self.status = answer.status
        self.reason = answer.reason
        self.text = answer.message
        self.retry_after_s = answer.retry_after_s
        self.is_type_missing = answer.is_type_missing


@dataclass(frozen=True)
class Answer:
    """A refusal as it came.

    Attributes:
        status: of HTTP.
        reason: in one word; empty where the body was no Status.
        message: in words, on one line.
        details: what it is about.
        retry_after_s: seconds; None where the server says nothing.
    """

    status: int
    reason: str
    message: str
    details: Mapping[str, Any]
    retry_after_s: float | None = None

    @property
    def is_type_missing(self) -> bool:
        """Whether a server of Kubernetes says that it has no such kind of object."""
        return self.status == 404 and any(words in self.message for words in _NO_SUCH_TYPE)

    @property
    def is_foreign(self) -> bool:
        """Whether the answer is none of a server of Kubernetes, but of a proxy, say."""
        is_refusal = 400 <= self.status < 500 and self.status not in (401, 429)
        return is_refusal and not self.reason and not self.is_type_missing

    @classmethod
    def of(cls, status: int, body: bytes, retry_after: str | None) -> Answer:
        """What a status code and a body mean."""
        text = body.decode(errors="replace")
        try:
            values: Any = json.loads(text)
        except ValueError:
            values = None
        if not isinstance(values, dict):
            values = {"message": text}
        after = float(retry_after) if retry_after and retry_after.isdigit() else None
        details = values.get("details")
        return cls(
            status,
            str(values.get("reason") or ""),
            " ".join(str(values.get("message") or "").split())[:2000],
            details if isinstance(details, dict) else {},
            after,
        )


def refusal(answer: Answer, action: Action, host: str, credentials: str) -> Refusal:
    """The error for an answer.

    Args:
        answer: what came.
        action: what was asked.
        host: of the API server.
        credentials: where the user's come from.
    """
    problem = _problem(answer, action, host, credentials)
    return Refusal(problem, answer)


def _problem(answer: Answer, action: Action, host: str, credentials: str) -> Problem:
    if answer.status == 401:
        mend = f"they come from {credentials}: log in again, or renew them there"
        return Problem("", f"{host} does not accept your credentials", mend=mend)
    if answer.is_foreign:
        return _foreign(host)
    if answer.status == 403:
        return _forbidden(answer, action)
    if answer.status == 404:
        return _missing(answer, action)
    if answer.status == 409:
        what = f"{action.object} cannot be changed now: {answer.message}"
        return Problem("", what, mend="try again; somebody else changed it in the same moment")
    if answer.status == 410:
        what = f"{host} no longer knows from where to go on: {answer.message}"
        return Problem("", what, mend="try again")
    if answer.status in (400, 413, 422):
        return _invalid(answer, action)
    if answer.status == 429:
        return Problem("", f"{host} has too much to do", mend="try again in a minute")
    what = f"{host} failed with status {answer.status}: {answer.message or 'no reason given'}"
    return Problem("", what, mend=_internal_mend(answer))


def _foreign(host: str) -> Problem:
    mend = "is that the address of a cluster? A proxy may have answered: look at $NO_PROXY"
    return Problem("", f"{host} does not answer as Kubernetes does", mend=mend)


def _internal_mend(answer: Answer) -> str:
    if match := re.search(r'webhook "([^"]+)"', answer.message):
        return f"the webhook {match[1]} of the cluster is broken: whoever runs the cluster mends it"
    return "try again; if it stays so, ask whoever runs the cluster"


def _forbidden(answer: Answer, action: Action) -> Problem:
    match = _CANNOT.search(answer.message)
    if match is None:
        cause, mend = refused(answer.message)
        return Problem("", f"{action.object} is not admitted: {cause}", mend=mend)
    resource, verb = match["what"], match["verb"]
    group = action.resource.group
    qualified = f"{resource}.{group}" if group else resource
    message = f"{match['user']} may not {verb} {qualified} in namespace {action.namespace}"
    mend = (
        "ask whoever runs the cluster to bind you to the role of k8s/submitters.yaml; "
        f"`kubectl -n {action.namespace} auth can-i {verb} {qualified}` checks it"
    )
    return Problem("", message, mend=mend)


def _missing(answer: Answer, action: Action) -> Problem:
    if answer.details.get("kind") == "namespaces":
        namespace = str(answer.details.get("name") or action.namespace)
        mend = f"`kubectl create namespace {namespace}`, or --namespace NAME"
        return Problem("", "there is no such namespace", namespace, mend=mend)
    if not answer.is_type_missing:
        return Problem("", f"there is no {action.object}")
    if action.resource.group == "ray.io":
        return Problem("", "KubeRay is not installed in this cluster", mend=KUBERAY)
    what = f"the cluster knows no {action.resource.qualified} {action.resource.version}"
    return Problem("", what, mend="is the address in the kubeconfig that of a Kubernetes cluster?")


def _invalid(answer: Answer, action: Action) -> Problem:
    causes = answer.details.get("causes")
    texts = [
        f"{cause.get('field') or 'it'}: {' '.join(str(cause.get('message')).split())}"
        for cause in (causes if isinstance(causes, list) else [])
        if isinstance(cause, dict)
    ]
    why = "; ".join(dict.fromkeys(texts)) or answer.message
    what = f"{action.object} is not valid: {why}"
    mend = "what stands so in the profile is mended there; otherwise KubeRay is another version"
    return Problem("", what, mend=f"{mend} than 1.7: `kubectl get crd rayjobs.ray.io`")


_AWAY = (
    ("proxy", "the proxy does not let it through", "look at $HTTPS_PROXY and $NO_PROXY"),
    ("resolve", "its name has no address", "is the name right, and is a VPN needed?"),
    ("service not known", "its name has no address", "is the name right, and is a VPN needed?"),
    ("timed out", "there is no answer in time", "is a VPN needed, or a firewall in between?"),
    ("unreachable", "there is no way from this network", "is a VPN needed?"),
)
_REFUSED = "is the cluster up, and is this still its address? `kubectl cluster-info` asks the same"


def unreachable(error: BaseException, host: str) -> Unreachable:
    """The error for an answer that never came, or broke off."""
    if isinstance(error, ValueError):
        return Unreachable(_foreign(host))
    why = " ".join(str(part) for part in _chain(error))
    if "certificate" in why.lower() or "SSLError" in why or "[SSL" in why:
        return Unreachable(_tls(why, host))
    for word, reason, mend in _AWAY:
        if word in why.lower():
            return Unreachable(Problem("", f"{host} is not reached: {reason}", mend=mend))
    if "refused" in why:
        message = f"{host} is not reached: connection refused"
        return Unreachable(Problem("", message, mend=_REFUSED), may_pass=True)
    message = f"{host} is not reached: the connection broke off"
    mend = "try again; the network, or the server, is unsteady"
    return Unreachable(Problem("", message, mend=mend), may_pass=True)


def _chain(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in found:
        found.append(current)
        current = current.__cause__ or current.__context__
    return found


def _tls(why: str, host: str) -> Problem:
    mend = (
        "`kubectl cluster-info` must work too; get a new kubeconfig from whoever runs the cluster"
    )
    if "expired" in why:
        return Problem("", f"the certificate of {host} has expired", mend=mend)
    if "match" in why or "not valid for" in why:
        message = f"the certificate of {host} is for another name"
        return Problem("", message, mend="set `tls-server-name` of the cluster in the kubeconfig")
    if "verify failed" in why:
        message = f"the certificate of {host} is signed by nobody that the kubeconfig trusts"
        return Problem(
            "", message, mend="set `certificate-authority-data` of the cluster in the kubeconfig"
        )
    if "WRONG_VERSION_NUMBER" in why or "record layer" in why:
        message = f"{host} does not speak TLS"
        return Problem(
            "", message, mend="is its address in the kubeconfig http://, or a proxy in between?"
        )
    return Problem("", f"no TLS connection to {host} comes about", mend=mend)
