"""What is sent to a cluster: the job file, the user's plugin files and how to run them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from typing_extensions import Self

from trainwright.errors import RunError
from trainwright.submission.names import base_of

ORDERS = "submission.json"
"""The file of a parcel that says how to run it."""

FOLDER = "job"
"""The folder of the job in a parcel: its files, apart from where ``python`` starts, so that a
user's ``types.py`` beside the job hides nothing."""

JOB = f"{FOLDER}/job.yaml"
"""The job file in a parcel."""

LARGEST = 900_000
"""Bytes; a ConfigMap of Kubernetes holds 1 MiB with all that is around them."""

SUBMISSION = "TRAINWRIGHT_SUBMISSION"
"""Environment variable that holds the name of the submission, on the cluster."""

STOP_WAIT = "RAY_JOB_STOP_WAIT_TIME_S"
"""Environment variable of a job, by which Ray's supervisor of it knows how many seconds to wait
between SIGTERM and SIGKILL; the driver writes a checkpoint meanwhile."""

ENTRY_MODULE = "trainwright.submission.inside"
"""What runs a parcel, in the folder that holds it: ``python -m`` this."""


@dataclass(frozen=True)
class Need:
    """The processes that a job asks for.

    Attributes:
        workers: the most there will be; 0: it runs in the driver's process; None: as many as there
            is room for.
        cpus: CPUs for each.
        gpus: GPUs for each.
    """

    workers: int | None
    cpus: float
    gpus: float


@dataclass(frozen=True)
class Orders:
    """How a parcel is run.

    Attributes:
        overrides: ``a.b=value`` each, on top of the job file.
        variables: environment variables that the job names and only its sender had; no secrets.
    """

    overrides: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """JSON."""
        values = {"overrides": list(self.overrides), "variables": dict(self.variables)}
        return (json.dumps(values, indent=1, ensure_ascii=False) + "\n").encode()

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The orders in the folder of a parcel.

        Raises:
            RunError: the folder holds none.
        """
        try:
            values = json.loads((folder / ORDERS).read_bytes())
            return cls(tuple(values["overrides"]), dict(values["variables"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"{folder} holds no {ORDERS} of a submission: {error}") from error


@dataclass(frozen=True)
class Parcel:
    """A job as it travels; two of the same content have the same digest.

    Attributes:
        name: the job's ``name``.
        files: path in the parcel -> content: the job file, its orders, the user's plugin files.
        need: the processes it asks for.
        run: the name its run will have; None where that shows only on the cluster.
        storage: where its run will be kept.
        kind: the job's ``kind``.
        remarks: what the user should know.
    """

    name: str
    files: Mapping[str, bytes]
    need: Need
    run: str | None = None
    storage: str | None = None
    kind: str = "train"
    remarks: Sequence[str] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of the files, in hexadecimal digits."""
        digest = hashlib.sha256()
        for name, content in sorted(self.files.items()):
            digest.update(f"{len(name)} {name} {len(content)} ".encode() + content)
        return digest.hexdigest()

    @property
    def base(self) -> str:
        """The name that all its submissions begin with."""
        return base_of(self.name, self.digest)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(map(len, self.files.values()))

    def write(self, folder: Path) -> None:
        """Write its files below a folder."""
        for name, content in self.files.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
