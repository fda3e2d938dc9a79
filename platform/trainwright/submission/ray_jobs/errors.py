"""Why a cluster cannot be reached or does not do what it is asked, in one line and what to do."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from http.client import BadStatusLine

from trainwright.errors import Problem
from trainwright.submission.target import TargetError

CONNECT_S = 5
ANSWER_S = 20
"""Seconds for a connection, and for an answer."""

_GIVE_IT = (
    "set RAY_AUTH_TOKEN to the token that the cluster was started with, or RAY_AUTH_TOKEN_PATH to "
    "the name of a file that holds it, or put it into ~/.ray/auth_token"
)
_OTHER = "--to takes the address of a Ray cluster's dashboard, as http://HOST:8265"
_NONE = (
    "start a cluster with `ray start --head`; its dashboard, without which it takes no jobs, needs "
    "ray[default] there"
)


class Unreachable(TargetError):  # noqa: N818 - it may be back in a moment
    """The cluster does not answer; it may in a moment."""


class Answered(TargetError):  # noqa: N818 - not every answer is an error
    """The cluster answers that it does not do what it was asked.

    Attributes:
        status: of HTTP.
        text: what it says.
    """

    def __init__(self, url: str, status: int, text: str) -> None:
        self.status = status
        self.text = text
        said = _last_line(text)
        super().__init__(
            Problem(
                "--to",
                f"the cluster answers with HTTP {status}" + (f": {said}" if said else ""),
                url,
                mend="its own logs, dashboard.log and dashboard_agent.log, say more",
            )
        )


def unreachable(url: str, error: BaseException) -> Unreachable:
    """For an error of ``requests``: nobody answers, or not as one can understand."""
    message, mend = _connection(url, list(_causes(error)))
    return Unreachable(Problem("--to", message, url, mend=mend))


def refused(url: str, status: int, has_token: bool) -> TargetError:
    """For HTTP 401 and 403: the token is missing or wrong."""
    what = "does not take the token that was sent" if has_token else "asks for a token"
    missing = "" if has_token else ", and none was found"
    return TargetError(
        Problem("--to", f"the cluster {what} (HTTP {status}){missing}", url, mend=_GIVE_IT)
    )


def no_token(url: str) -> TargetError:
    """The user says that there is a token, and there is none."""
    return TargetError(
        Problem("--to", "RAY_AUTH_MODE is token, and no token was found", url, mend=_GIVE_IT)
    )


def no_dashboard(url: str, detail: str) -> TargetError:
    """Something else answers there."""
    return TargetError(
        Problem("--to", f"no dashboard of Ray's answers there: {detail}", url, mend=_OTHER)
    )


def other_version(url: str, there: str, allowed: str, here: str) -> TargetError:
    """The cluster runs a version of Ray in which jobs would not run."""
    return TargetError(
        Problem(
            "--to",
            f"the cluster runs Ray {there}",
            url,
            allowed=f"ray{allowed}",
            mend=f"`pip install 'ray[default]=={here}'` on its machines and start it again",
        )
    )


def _connection(url: str, causes: list[BaseException]) -> tuple[str, str]:
    """What is wrong with a connection, and what to do."""
    import requests

    def has(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _certificate(cause.verify_message)
        if isinstance(cause, ssl.SSLError):
            return (
                f"no TLS connection: {cause.reason or cause}",
                f"write http://{url.partition('://')[2]} if the cluster does not speak TLS",
            )
    if has(socket.gaierror):
        return "there is no machine of that name", "check the host's name, and the network"
    if has(ConnectionRefusedError):
        return "nothing listens there", f"check host and port, or {_NONE}"
    if has(requests.exceptions.ConnectTimeout):
        told = f"there is no connection within {CONNECT_S} s"
        return told, "check host and port; a firewall or a missing VPN looks like this"
    if has(requests.exceptions.ReadTimeout):
        told = "it takes the connection, but does not answer in time"
        return told, f"look at the cluster, or check the address: {_OTHER}"
    if has(ConnectionError):
        return "it closes the connection without an answer", "if it speaks TLS, write https://"
    if has(BadStatusLine):
        return (
            "what listens there does not speak HTTP",
            f"a cluster's own port is another: {_OTHER}",
        )
    return f"there is no connection: {_last_line(str(causes[0]))}", _OTHER


def _certificate(why: str) -> tuple[str, str]:
    message = f"the server's certificate does not hold: {why}"
    if "match" in why.lower():
        return message, "use the name or address that the certificate was made for"
    if "expired" in why or "not yet valid" in why:
        return message, "the server needs a new one; check this machine's clock too"
    return message, "--ca-file FILE, with the certificate that signs it, makes it known here"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what lies below it, wherever libraries put that."""
    found: list[BaseException] = [error]
    while found:
        cause = found.pop(0)
        yield cause
        below = [getattr(cause, "reason", None), *cause.args, cause.__cause__, cause.__context__]
        found += [item for item in below if isinstance(item, BaseException)]


def _last_line(text: str) -> str:
    """The line that says most of a traceback, of HTML nothing."""
    if "<html" in text.lower():
        return ""
    lines = [line.strip() for line in text.splitlines() if re.search(r"\w", line)]
    return lines[-1][:300] if lines else ""
