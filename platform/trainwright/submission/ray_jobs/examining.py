"""Whether jobs could run on a Ray cluster, and what to mend where they could not."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from trainwright.doctor.finding import Finding
from trainwright.secrets import mask
from trainwright.submission.parcel import Parcel
from trainwright.submission.probe import PROBE_MODULE, Hearing, Questions, Trial
from trainwright.submission.probe.versions import compared, versions_here
from trainwright.submission.ray_jobs.describing import described
from trainwright.submission.ray_jobs.following import Following
from trainwright.submission.ray_jobs.sending import Order, entrypoint, is_loopback
from trainwright.submission.target import Submission, TargetError

if TYPE_CHECKING:
    from trainwright.submission.ray_jobs.client import Client

_END_S = 30.0
"""How long the probe may take to end when it is stopped."""

Send = Callable[[str, Parcel, Order], None]
"""Sends a job of a name: its files, and what to run."""


def examine_ray(client: Client, send: Send, trial: Trial) -> Generator[Finding, None, None]:
    """Look at the cluster, from here and, by a small job on its head, from inside.

    Args:
        client: of the cluster, which has answered before.
        send: sends the job.
        trial: what is to be known.
    """
    begun = time.monotonic()
    client.get_version()
    passed = time.monotonic() - begun
    yield Finding("reachable", "ok", f"{mask(client.url)} answers in {passed:.2f} s")
    yield _token(client)
    here = versions_here().get("ray")
    yield replace(compared("ray", client.ray_version, here), name="ray of the head")
    if trial.probes:
        yield from _from_inside(client, send, trial)


def _token(client: Client) -> Finding:
    name = "token"
    if client.lets_anybody_in():
        mend = "start it with RAY_AUTH_MODE=token: whoever reaches it can run code there"
        return Finding(name, "note", "the cluster asks for none", mend)
    if client.url.startswith("http://") and not is_loopback(client.url):
        mend = "put a proxy that speaks TLS before it, and name it https://"
        return Finding(name, "note", "accepted, but it travels without encryption", mend)
    return Finding(name, "ok", "accepted")


def _from_inside(client: Client, send: Send, trial: Trial) -> Iterator[Finding]:
    name = f"doctor-{uuid.uuid4().hex[:12]}"
    parcel = trial.parcel
    gpus = parcel is not None and parcel.need.gpus > 0
    asked = Questions(versions_here(), trial.storage, gpus=gpus, joins=True).packed(parcel)
    try:
        send(name, asked, Order(entrypoint(client.url, PROBE_MODULE), {}, {}))
        yield from _heard(client, name)
    finally:
        _remove(client, name)


def _heard(client: Client, name: str) -> Iterator[Finding]:
    hearing = Hearing()
    end = described(client.url, client.get_job_info(name))
    for event in Following(client, end).events():
        if isinstance(event, Submission):
            end = event
        elif finding := hearing.hear(event):
            yield finding
    if not hearing.is_over:
        yield hearing.broken_off(end.says or f"it has {end.state}")


def _remove(client: Client, name: str) -> None:
    """End the job, which may not even have begun, and forget it."""
    with suppress(TargetError):  # it is not there, or the cluster is not
        if not client.get_job_status(name).is_terminal():
            client.stop_job(name)
        deadline = time.monotonic() + _END_S
        while not client.get_job_status(name).is_terminal() and time.monotonic() < deadline:
            time.sleep(0.2)
        client.forget(name)
