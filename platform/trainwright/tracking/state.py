"""``tracking.json``: how far a run has been sent to MLflow, and how sending fares."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, TypeAdapter

from trainwright.storage import Folder
from trainwright.tracking.covered import Ranges

NAME = "tracking.json"
Phase = Literal["starting", "sending", "waiting", "draining", "done", "behind"]


@dataclass
class TrackingState:
    """The shipper's memory, written atomically after every confirmed batch.

    Attributes:
        uri: tracking URI with any password replaced.
        uri_hash: tells another URI, or another password, apart.
        experiment: MLflow experiment.
        mlflow_run_id: the MLflow run, once it exists.
        phase: ``waiting`` = the server does not answer; ``done`` = all rows sent;
            ``behind`` = ended with rows left, which ``trainwright sync`` sends.
        status: status last set in MLflow.
        sent: points confirmed by the server.
        left: points not sent when the shipper ended.
        refused: points that the server rejects for good, with the reason of the last.
        error: the last failure; None while all is well.
        in_doubt: whether the server may hold rows that ``covered`` does not name, because a
            request failed or the process that sent it ended before the answer.
        covered: journal file -> byte ranges that the server holds.
        artifacts: uploaded file -> digest of what was uploaded.
        updated: time of writing, milliseconds since 1970.
    """

    __pydantic_config__: ClassVar = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    uri: str = ""
    uri_hash: str = ""
    experiment: str = ""
    mlflow_run_id: str | None = None
    phase: Phase = "starting"
    status: str | None = None
    sent: int = 0
    left: int = 0
    refused: int = 0
    refused_why: str | None = None
    error: str | None = None
    in_doubt: bool = False
    covered: dict[str, Ranges] = field(default_factory=dict)
    artifacts: dict[str, str] = field(default_factory=dict)
    updated: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain values for the file."""
        plain = {item.name: getattr(self, item.name) for item in fields(self)}
        plain["covered"] = {name: ranges.to_lists() for name, ranges in self.covered.items()}
        return {"format": 1, **plain}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> TrackingState:
        """Read what ``to_json`` gave.

        Raises:
            ValueError: the value does not have this form.
        """
        try:
            if value.pop("format") != 1:
                raise ValueError("tracking.json was written by a newer version")
            covered = {name: Ranges(ranges) for name, ranges in value.pop("covered").items()}
            return _checked().validate_python({**value, "covered": covered})
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"tracking.json does not have the expected form: {error}") from error

    def write(self, folder: Folder) -> None:
        """Store it in the run folder.

        Raises:
            Exception: whatever the store's client raises.
        """
        self.updated = time.time_ns() // 1_000_000
        folder.write_json(NAME, self.to_json())


def read_state(folder: Folder) -> TrackingState | None:
    """The tracking state of a run; None when there is none or it cannot be read."""
    value = folder.read_object(NAME)
    try:
        return None if value is None else TrackingState.from_json(value)
    except ValueError:
        return None


@cache
def _checked() -> TypeAdapter[TrackingState]:
    """Made when it is first needed: it takes milliseconds, and most commands need none."""
    return TypeAdapter(TrackingState)
