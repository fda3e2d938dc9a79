"""A Ray cluster that runs already, as a target."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainwright.doctor import Finding
from trainwright.errors import InputError, Problem
from trainwright.secrets import mask
from trainwright.submission.parcel import Parcel
from trainwright.submission.probe import Trial
from trainwright.submission.ray_jobs.describing import described, is_ours
from trainwright.submission.ray_jobs.errors import Answered, Unreachable
from trainwright.submission.ray_jobs.following import Following
from trainwright.submission.ray_jobs.sending import (
    STOP_WAIT_S,
    Order,
    is_loopback,
    order_for,
    preview,
)
from trainwright.submission.site import Site
from trainwright.submission.target import AlreadyThere, Submission, TargetError

if TYPE_CHECKING:
    from trainwright.submission.ray_jobs.client import Client

_READY_S = 60
"""A cluster that has just been started takes no jobs for some seconds."""

_NOT_READY = ("No available agent", "head node agent")
_TAIL = 100


class RayTarget:
    """A Ray cluster, reached by the address of its dashboard.

    Args:
        url: ``http://HOST:8265`` or ``https://...``.
        ca_file: certificates that sign the server's.

    Raises:
        InputError: ``ca_file`` is none, or means nothing here.
    """

    def __init__(self, url: str, ca_file: Path | None = None) -> None:
        self._url = url
        self._ca_file = ca_file
        if ca_file is not None:
            _refuse_unfit(url, ca_file)

    @property
    def label(self) -> str:
        """``the Ray cluster at http://127.0.0.1:8265``."""
        return f"the Ray cluster at {mask(self._url)}"

    @property
    def options(self) -> tuple[str, ...]:
        """The options of the command line that name it."""
        ca_file = () if self._ca_file is None else ("--ca-file", str(self._ca_file))
        return ("--to", mask(self._url), *ca_file)

    @property
    def site(self) -> Site:
        """At a loopback address the cluster sees this machine's disk, elsewhere none of it."""
        return Site(shares_disk=is_loopback(self._url))

    def preview(self, submission: str, parcel: Parcel) -> str:
        """What would be sent, as YAML."""
        return preview(self._url, submission, parcel)

    def all(self) -> list[Submission]:
        """Every submission of Trainwright's there, the newest first."""
        found = [
            described(self._url, details)
            for details in self._client.list_jobs()
            if is_ours(details)
        ]
        return sorted(found, key=lambda one: one.submitted or 0.0, reverse=True)

    def find(self, submission: str) -> Submission | None:
        """One submission, with its progress."""
        details = self._details(submission)
        if details is None:
            return None
        return described(self._url, details, self._end_of_log(details))

    def create(self, submission: str, parcel: Parcel) -> Submission:
        """Send a parcel.

        Raises:
            AlreadyThere: there is a submission of that name.
            TargetError: the cluster does not take it.
        """
        order = order_for(self._url, submission, parcel)
        self._send(submission, parcel, order)
        return Submission(
            submission,
            parcel.name,
            "waiting",
            submitted=time.time(),
            run=order.metadata.get("run"),
            storage=order.metadata.get("storage"),
        )

    def logs(self, submission: str) -> Iterator[str]:
        """The lines of its log so far."""
        lines = self._client.get_job_logs(submission).split("\n")
        yield from lines if lines[-1] else lines[:-1]

    def follow(self, submission: str) -> Iterator[str | Submission]:
        """Its log from the beginning, and its state whenever that changes."""
        details = self._details(submission)
        if details is None:
            raise self._gone(submission)
        yield from Following(self._client, described(self._url, details)).events()

    def stop(self, submission: str) -> Submission:
        """Stop it, and wait until its driver has written a checkpoint and ended."""
        deadline = time.monotonic() + STOP_WAIT_S + _READY_S
        is_asked = False
        while time.monotonic() < deadline:
            # Between its making and its start nobody is there to be asked.
            is_asked = is_asked or self._client.stop_job(submission)
            details = self._details(submission)
            if details is None:
                raise self._gone(submission)
            found = described(self._url, details)
            if found.has_ended:
                return replace(
                    found,
                    progress=described(self._url, details, self._end_of_log(details)).progress,
                )
            time.sleep(0.5)
        raise TargetError(
            Problem(
                "ID",
                f"it was asked to stop and has not ended within {STOP_WAIT_S + _READY_S} s",
                submission,
                mend="its log says what it does; stop it again",
            )
        )

    def delete(self, submission: str) -> None:
        """Remove it; one that has not ended is stopped first."""
        details = self._details(submission)
        if details is None:
            return
        if not described(self._url, details).has_ended:
            self.stop(submission)
        self._client.forget(submission)

    def examine(self, trial: Trial) -> Generator[Finding, None, None]:
        """Check whether a job could run there."""
        from trainwright.submission.ray_jobs.examining import examine_ray

        yield from examine_ray(self._client, self._send, trial)

    @cached_property
    def _client(self) -> Client:
        """Ray's client; importing it takes a while."""
        if find_spec("aiohttp") is None or find_spec("requests") is None:
            raise TargetError(
                Problem(
                    "--to",
                    "sending jobs needs packages that are not installed",
                    mend="pip install 'trainwright[submit]'",
                )
            )
        from trainwright.submission.ray_jobs.client import Client

        return Client(self._url, self._ca_file)

    def _details(self, submission: str) -> Any:
        """Ray's ``JobDetails``; None for a job that is not there or not ours."""
        try:
            details = self._client.get_job_info(submission)
        except Answered as error:
            if error.status == 404:
                return None
            raise
        return details if is_ours(details) else None

    def _end_of_log(self, details: Any) -> list[str]:
        """The last lines of its log; all of them if only they tell the run's name."""
        try:
            if (details.metadata or {}).get("run") is None:
                return list(self.logs(details.submission_id))
            node = details.driver_node_id
            text = node and self._client.tail_of_log(node, details.submission_id, _TAIL)
            return (text or "").split("\n")
        except (Answered, Unreachable):
            return []  # the machine that had it is gone

    def _send(self, submission: str, parcel: Parcel, order: Order) -> None:
        with tempfile.TemporaryDirectory(prefix="trainwright-submit-") as folder:
            parcel.write(Path(folder))
            environment = {"working_dir": folder, "env_vars": order.env_vars}
            self._submit(
                submission_id=submission,
                entrypoint=order.entrypoint,
                runtime_env=environment,
                metadata=order.metadata,
            )

    def _submit(self, **order: Any) -> None:
        deadline = time.monotonic() + _READY_S
        while True:
            try:
                self._client.submit_job(**order)
                return
            except Unreachable:
                # It may have been taken: then the next try says that it is there already.
                if time.monotonic() > deadline:
                    raise
            except Answered as error:
                if "already exists" in error.text:
                    raise AlreadyThere(order["submission_id"]) from error
                is_early = any(text in error.text for text in _NOT_READY)
                if not is_early or time.monotonic() > deadline:
                    raise
            time.sleep(1)

    def _gone(self, submission: str) -> TargetError:
        return TargetError(Problem("ID", f"{self.label} does not know it any more", submission))


def _refuse_unfit(url: str, ca_file: Path) -> None:
    if not url.startswith("https://"):
        mend = f"write https://{url.partition('://')[2]}, or leave it out"
        raise InputError(
            Problem("--ca-file", "means nothing with http://", str(ca_file), mend=mend)
        )
    if not ca_file.is_file():
        raise InputError(Problem("--ca-file", "there is no such file", str(ca_file)))
    import ssl

    try:
        ssl.create_default_context(cafile=str(ca_file))
    except OSError as error:
        what = "holds no certificates in PEM form that can be read"
        raise InputError(Problem("--ca-file", what, str(ca_file))) from error
