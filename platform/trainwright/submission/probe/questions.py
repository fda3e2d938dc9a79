"""What is asked of a cluster, and how the questions travel there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from typing_extensions import Self

from trainwright.submission.parcel import JOB, Need, Parcel

QUESTIONS = "probe.json"
"""The file beside those of a parcel that holds the questions."""


@dataclass(frozen=True)
class Trial:
    """What a user wants to know of a target.

    Attributes:
        parcel: a job that should run there; None for jobs in general.
        storage: where runs would be kept, without a job; None: where the target keeps them.
        probes: whether to look at the cluster from inside, which starts something there.
    """

    parcel: Parcel | None = None
    storage: str | None = None
    probes: bool = True


@dataclass(frozen=True)
class Questions:
    """What the probe is asked.

    Attributes:
        versions: of the libraries where the job is sent from, name -> version.
        storage: where runs would be kept; a job says it itself.
        tracking: MLflow tracking URI; a job says it itself.
        gpus: whether workers will have GPUs.
        joins: whether the probe runs on a Ray cluster, of which it is to look at every node.
    """

    versions: Mapping[str, str] = field(default_factory=dict)
    storage: str | None = None
    tracking: str | None = None
    gpus: bool = False
    joins: bool = False

    def packed(self, parcel: Parcel | None) -> Parcel:
        """What travels: the questions, with the job if there is one."""
        content = (json.dumps(asdict(self), indent=1) + "\n").encode()
        whole = parcel or Parcel("doctor", {}, Need(0, 1.0, 0.0))
        return replace(whole, files={**whole.files, QUESTIONS: content})

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The questions in the folder of the probe."""
        return cls(**json.loads((folder / QUESTIONS).read_text()))


def has_job(folder: Path) -> bool:
    """Whether a job came with the questions."""
    return (folder / JOB).exists()
