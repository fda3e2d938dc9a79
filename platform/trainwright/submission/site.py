"""What a cluster knows and sees that this machine may not: its disks, storage and environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from trainwright.secrets import is_secret_name

STANDS_FOR_A_SECRET = "known-there"  # noqa: S105 - it is none
"""Put in place of a value that only the cluster knows, where a job is checked here."""


@dataclass(frozen=True)
class Site:
    """The surroundings in which a job will run.

    Attributes:
        shares_disk: whether every path of this machine means the same there.
        mounts: folders of the cluster's own that outlive a pod: volumes.
        storage: where runs are kept if the job names a folder of this machine; None: nowhere.
        tracking: MLflow tracking URI if the job names none; None: the default.
        environment: variables that processes there have, name -> value.
        secrets: names of variables that processes there have from secrets; None where that is not
            known, as for a cluster that somebody else has started.
    """

    shares_disk: bool = False
    mounts: tuple[str, ...] = ()
    storage: str | None = None
    tracking: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: frozenset[str] | None = None

    def keeps(self, path: str) -> bool:
        """Whether an absolute path lies on a volume of the cluster, or on a shared disk."""
        place = PurePosixPath(path)
        return self.shares_disk or any(place.is_relative_to(mount) for mount in self.mounts)

    def environ(self, named: frozenset[str]) -> dict[str, str]:
        """The environment in which a job that names these variables is checked here."""
        there = dict.fromkeys(self.secrets or (), STANDS_FOR_A_SECRET)
        if self.secrets is None:
            there = {name: STANDS_FOR_A_SECRET for name in named if is_secret_name(name)}
        return {**there, **os.environ, **self.environment}
