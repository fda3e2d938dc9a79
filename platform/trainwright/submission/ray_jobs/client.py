"""Ray's own client of the Jobs API, with limits on its patience and clear words for its errors."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import requests
from ray.exceptions import AuthenticationError
from ray.job_submission import JobSubmissionClient

from trainwright.doctor.versions import in_range, libraries
from trainwright.orchestration.tokens import find_token
from trainwright.secrets import conceal
from trainwright.submission.ray_jobs.errors import (
    ANSWER_S,
    CONNECT_S,
    Answered,
    no_dashboard,
    no_token,
    other_version,
    refused,
    unreachable,
)
from trainwright.submission.ray_jobs.sending import is_loopback

_BUSY = (429, 502, 503, 504)
_PAUSES_S = (0.5, 1.5)
_REPEATED = ("GET", "PUT")  # asking twice does no harm
_DELETIONS = 10
_QUIET = 2
_SETTLE_S = 1.5
_DONE_S = 60  # for what the cluster does before it answers

_ADDRESS = "RAY_API_SERVER_ADDRESS"

for _name in (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
    "ray._private.authentication.http_token_authentication",
):
    logging.getLogger(_name).setLevel(logging.ERROR)


class Client(JobSubmissionClient):  # type: ignore[misc]  # ray has no types here
    """Ray's client of a cluster that answers.

    Args:
        url: of the cluster's dashboard.
        ca_file: certificates that sign the server's.

    Raises:
        TargetError: the cluster cannot be reached, refuses the user, or is none.
    """

    def __init__(self, url: str, ca_file: Path | None) -> None:
        self.url = url
        self._token = find_token()
        if self._token is not None:
            conceal(self._token)
        elif os.environ.get("RAY_AUTH_MODE", "").lower() == "token":
            raise no_token(url)  # Ray's client would say it in many words
        headers = {"Authorization": f"Bearer {self._token}"} if self._token is not None else {}
        self._is_known = False
        with _its_address(url):
            super().__init__(url, headers=headers, verify=str(ca_file) if ca_file else True)
        self._server_ray_version = self._version_there()
        self._is_known = True

    @property
    def ray_version(self) -> str:
        """Of Ray on the head."""
        return str(self._server_ray_version)

    def lets_anybody_in(self) -> bool:
        """Whether whoever comes without a token may see, and so send, jobs."""
        options: dict[str, Any] = {"verify": self._verify}
        if is_loopback(self.url):
            options["proxies"] = {"no_proxy": "*"}
        patience = (CONNECT_S, ANSWER_S)
        place = f"{self._address}/api/jobs/"
        try:
            answer = requests.get(place, auth=_as_it_is, timeout=patience, **options)
        except requests.RequestException as error:
            raise unreachable(self.url, error) from error
        return bool(answer.status_code == 200)

    def tail_of_log(self, node: str, submission: str, lines: int) -> str:
        """The last lines of a job's log, without the rest; empty where Ray does not give them."""
        file = f"job-driver-{submission}.log"
        place = f"/api/v0/logs/file?node_id={node}&filename={file}&lines={lines}&timeout=5"
        answer = self._do_request("GET", place)
        return answer.text if answer.status_code == 200 else ""

    def forget(self, submission: str) -> None:
        """Delete a job that has ended, for good; takes some seconds.

        Ray's own watch over a job writes its end down once more up to two seconds after that, and
        a ghost without metadata would hold its name.
        """
        num_quiet = 0
        for _ in range(_DELETIONS):
            try:
                self.delete_job(submission)
                num_quiet = 0
            except Answered as error:
                if error.status != 404:
                    raise
                num_quiet += 1
            if num_quiet == _QUIET:
                return
            time.sleep(_SETTLE_S)

    def _do_request(self, method: str, endpoint: str, **options: Any) -> requests.Response:
        options["timeout"] = (CONNECT_S, ANSWER_S if method == "GET" else _DONE_S)
        if is_loopback(self.url):
            options["proxies"] = {"no_proxy": urlsplit(self.url).hostname}
        if self._token is not None:
            options["auth"] = _as_it_is
        pauses = _PAUSES_S if self._is_known and method in _REPEATED else ()
        for pause_s in (*pauses, None):
            try:
                answer = super()._do_request(method, endpoint, **options)
            except AuthenticationError as error:
                status = 401 if str(error).startswith("Authentication required") else 403
                raise refused(self.url, status, self._token is not None) from error
            except requests.RequestException as error:
                if pause_s is None:
                    raise unreachable(self.url, error) from error
            else:
                if pause_s is None or answer.status_code not in _BUSY:
                    return answer
            time.sleep(pause_s)
        raise AssertionError("the last pause is None")

    def _raise_error(self, answer: requests.Response) -> NoReturn:
        raise Answered(self.url, answer.status_code, answer.text)

    def _check_connection_and_version(self, *_: Any, **__: Any) -> None:
        """Ray asks twice, and takes whatever else answers for an old Ray."""

    def _version_there(self) -> str:
        answer = self._do_request("GET", "/api/version")
        if answer.status_code == 404:
            raise no_dashboard(self.url, "HTTP 404")
        if answer.status_code != 200:
            self._raise_error(answer)
        try:
            there = str(answer.json()["ray_version"])
        except (ValueError, KeyError, TypeError):
            raise no_dashboard(self.url, "what it sends tells no version of Ray") from None
        ray = next(one for one in libraries("trainwright", sys.platform) if one.name == "ray")
        if not in_range(there, ray.allowed):
            raise other_version(self.url, there, ray.allowed, ray.installed or there)
        return there


@contextmanager
def _its_address(url: str) -> Iterator[None]:
    """Inside, no variable of the environment leads Ray's client to another cluster."""
    before = os.environ.get(_ADDRESS)
    os.environ[_ADDRESS] = url
    try:
        yield
    finally:
        del os.environ[_ADDRESS]
        if before is not None:
            os.environ[_ADDRESS] = before


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keeps ``requests`` from sending a password of ~/.netrc in the token's place."""
    return request
