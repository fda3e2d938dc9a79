"""Being written."""

# ruff: noqa: D101, D102
from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

from trainwright.doctor import Finding
from trainwright.submission.parcel import Parcel
from trainwright.submission.probe import Trial
from trainwright.submission.site import Site
from trainwright.submission.target import Submission


class RayTarget:
    def __init__(self, url: str, ca_file: Path | None = None) -> None:
        raise NotImplementedError

    @property
    def label(self) -> str:
        raise NotImplementedError

    @property
    def options(self) -> tuple[str, ...]:
        raise NotImplementedError

    @property
    def site(self) -> Site:
        raise NotImplementedError

    def preview(self, submission: str, parcel: Parcel) -> str:
        raise NotImplementedError

    def all(self) -> list[Submission]:
        raise NotImplementedError

    def find(self, submission: str) -> Submission | None:
        raise NotImplementedError

    def create(self, submission: str, parcel: Parcel) -> Submission:
        raise NotImplementedError

    def logs(self, submission: str) -> Iterator[str]:
        raise NotImplementedError

    def follow(self, submission: str) -> Iterator[str | Submission]:
        raise NotImplementedError

    def stop(self, submission: str) -> Submission:
        raise NotImplementedError

    def delete(self, submission: str) -> None:
        raise NotImplementedError

    def examine(self, trial: Trial) -> Generator[Finding, None, None]:
        raise NotImplementedError
