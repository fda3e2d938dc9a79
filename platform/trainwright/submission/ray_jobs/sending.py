"""What is sent to Ray for a submission."""

from __future__ import annotations

import ipaddress
import shlex
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from trainwright import __version__
from trainwright.secrets import mask
from trainwright.submission.parcel import ENTRY_MODULE, STOP_WAIT, SUBMISSION, Parcel
from trainwright.submission.readable import yaml_of

STOP_WAIT_S = 120
"""Seconds."""

OURS = "trainwright"
"""Entry of a submission's metadata that only ours have; its value is the sender's version."""


@dataclass(frozen=True)
class Order:
    """What Ray is asked to run, beside the files of the parcel.

    Attributes:
        entrypoint: a line for the shell of the head.
        env_vars: environment of the driver and all that it starts.
        metadata: what is kept with the job, by which it is found again.
    """

    entrypoint: str
    env_vars: dict[str, str]
    metadata: dict[str, str]


def order_for(url: str, submission: str, parcel: Parcel) -> Order:
    """What is sent to the cluster at ``url``."""
    metadata = {
        OURS: __version__,
        "job": parcel.name,
        "kind": parcel.kind,
        "digest": parcel.digest,
        "run": parcel.run,
        "storage": parcel.storage and mask(parcel.storage),
    }
    return Order(
        entrypoint=entrypoint(url, ENTRY_MODULE),
        env_vars={SUBMISSION: submission, STOP_WAIT: str(STOP_WAIT_S)},
        metadata={name: value for name, value in metadata.items() if value},
    )


def preview(url: str, submission: str, parcel: Parcel) -> str:
    """All that would be sent, as YAML."""
    order = asdict(order_for(url, submission, parcel))
    files = {name: _text(content) for name, content in sorted(parcel.files.items())}
    values = {"to": mask(url), "submission": submission, **order, "files": files}
    return yaml_of(values)


def entrypoint(url: str, module: str) -> str:
    """The line for the shell of the head that runs a module of ours."""
    # Without a shell in between that a signal would end before the driver.
    return f"exec {shlex.quote(_python(url))} -m {module}"


def is_loopback(url: str) -> bool:
    """Whether an address leads to this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _python(url: str) -> str:
    """The interpreter: on this machine our own, elsewhere the one that the head finds first."""
    return sys.executable if is_loopback(url) and Path(sys.executable).is_file() else "python"


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return f"({len(content)} bytes)"
