"""What a cluster knows and sees that this machine may not: its disks, storage and environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from trainwright.secrets import is_secret_name, mask

STANDS_FOR_A_SECRET = "known-there"  # noqa: S105 - it is none
"""Put in place of a value that only the cluster knows, where a job is checked here."""


@dataclass(frozen=True)
class Site:
    """The surroundings in which a job will run.

    Attributes:
        shares_disk: whether every path of this machine means the same there.
        mounts: folders of the cluster's own that outlive a pod: volumes; None where its disks are
            not known, as for a cluster that somebody else has started.
        read_only: those of them that cannot be written to.
        storage: where runs are kept if the job names a folder of this machine; None: nowhere.
        tracking: MLflow tracking URI if the job names none, or a file of this machine; None: the
            default.
        environment: variables that processes there have, name -> value.
        secrets: names of variables that processes there have from secrets; None where that is not
            known.
    """

    shares_disk: bool = False
    mounts: tuple[str, ...] | None = None
    read_only: tuple[str, ...] = ()
    storage: str | None = None
    tracking: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: frozenset[str] | None = None

    def sees(self, path: str) -> bool:
        """Whether an absolute path means the same there: on a volume, or on a shared disk."""
        return self.shares_disk or _is_below(path, self.mounts or ())

    def keeps(self, path: str) -> bool:
        """Whether what is written to an absolute path there outlives the cluster."""
        return self.sees(path) and not _is_below(path, self.read_only)

    def may_keep(self, path: str) -> bool:
        """The same, as far as anybody knows: on disks that are not known, what is absolute may."""
        return self.keeps(path) or (self.mounts is None and os.path.isabs(path))

    def has(self, variable: str) -> bool:
        """Whether processes there are known to have an environment variable."""
        return variable in self.environment or variable in (self.secrets or ())

    def environ(self, named: frozenset[str]) -> dict[str, str]:
        """The environment in which a job that names these variables is checked here."""
        there = dict.fromkeys(self.secrets or (), STANDS_FOR_A_SECRET)
        if self.secrets is None:
            there = {name: STANDS_FOR_A_SECRET for name in named if is_secret_name(name)}
        return {**there, **os.environ, **self.environment}

    def sent(self, named: frozenset[str]) -> dict[str, str]:
        """Of the variables that a job names, those that only this machine has; no secrets."""
        return {
            name: os.environ[name]
            for name in sorted(named)
            if not self.has(name) and name in os.environ and not _is_secret(name)
        }

    def unsent(self, named: frozenset[str]) -> list[str]:
        """Of the variables that a job names, those that hold a secret and are not known there."""
        return [name for name in sorted(named) if not self.has(name) and _is_secret(name)]


def _is_secret(variable: str) -> bool:
    """Whether a variable is called like a secret, or its value on this machine holds one."""
    value = os.environ.get(variable, "")
    return is_secret_name(variable) or mask(value) != value


def _is_below(path: str, folders: tuple[str, ...]) -> bool:
    place = PurePosixPath(os.path.normpath(path))
    return any(place.is_relative_to(folder) for folder in folders)
