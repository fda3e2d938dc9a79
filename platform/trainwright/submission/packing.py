"""A job made ready to be sent: checked here, with nothing in it that only this machine knows."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from trainwright.errors import InputError, Problem
from trainwright.job import Job
from trainwright.job.document import read_text
from trainwright.job.merging import read_with_extends
from trainwright.job.yaml_reader import Parsed, read_yaml
from trainwright.secrets import is_secret_name, mask, secrets_in
from trainwright.submission.beside import files_beside
from trainwright.submission.checking import check_here
from trainwright.submission.parcel import JOB, LARGEST, ORDERS, Need, Orders, Parcel
from trainwright.submission.places import overrides_for
from trainwright.submission.site import Site

_VARIABLE = re.compile(r"(?<!\$)\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def pack(file: Path, overrides: Sequence[str], site: Site) -> Parcel:
    """Check a job as far as this machine can, and pack it.

    Args:
        file: the job file.
        overrides: values to change in it, ``a.b=value`` each.
        site: where it will run.

    Raises:
        InputError: it could not run there; every problem that was found.

    Example:
        >>> pack(Path("jobs/quickstart.yaml"), [], Site(storage="s3://b/runs"))  # doctest: +SKIP
    """
    draft = _Draft.read(file, overrides, site)
    job = draft.job()
    added, problems = overrides_for(job, site)
    problems += [*draft.told_secrets(), *draft.with_endings()]
    if problems:
        raise InputError(job.document.sorted(problems))
    draft = draft.with_more(added)
    job = draft.job()
    found = check_here(draft, job, site)
    files = {
        JOB: draft.content,
        ORDERS: Orders(draft.overrides, draft.variables()).to_bytes(),
        **files_beside(job),
    }
    parcel = Parcel(
        name=job.spec.name,
        files=files,
        need=_need(job.spec.cluster),
        run=found.run,
        storage=job.spec.storage,
        kind=job.spec.kind,
        remarks=[*found.remarks, *draft.unsent()],
    )
    _refuse_large(parcel, file)
    return parcel


@dataclass(frozen=True)
class _Draft:
    """A job file with what is changed in it for its journey.

    Attributes:
        file: the job file.
        overrides: those of the user, then those that the site asks for.
        parsed: its values before anything is replaced.
        content: the file as it is sent: as it is, or with the files it extends worked in.
        site: where it will run.
    """

    file: Path
    overrides: tuple[str, ...]
    parsed: Parsed
    content: bytes
    site: Site

    @classmethod
    def read(cls, file: Path, overrides: Sequence[str], site: Site) -> _Draft:
        text = read_text(file)
        parsed = read_with_extends(text, str(file))
        if parsed.values != read_yaml(text, str(file)).values:
            text = yaml.safe_dump(parsed.values, sort_keys=False, allow_unicode=True)
        return cls(file, tuple(overrides), parsed, text.encode(), site)

    def with_more(self, overrides: Sequence[str]) -> _Draft:
        return _Draft(
            self.file, (*self.overrides, *overrides), self.parsed, self.content, self.site
        )

    def job(self, *further: str) -> Job[Any]:
        """The job with all that is changed in it, and ``further`` changes."""
        environ = self.site.environ(self.named)
        return Job.load(self.file, [*self.overrides, *further], environ=environ)

    @property
    def named(self) -> frozenset[str]:
        """The environment variables that the job names."""
        texts = [json.dumps(self.parsed.values, default=str), *self.overrides]
        return frozenset(name for text in texts for name in _VARIABLE.findall(text))

    def variables(self) -> dict[str, str]:
        """The variables that the job needs, that only this machine has, and that are no secret."""
        environ = self.site.environ(frozenset())
        there = {*self.site.environment, *(self.site.secrets or ())}
        return {
            name: environ[name]
            for name in sorted(self.named - there)
            if not is_secret_name(name) and mask(environ[name]) == environ[name]
        }

    def unsent(self) -> list[str]:
        """What must be in the cluster's environment, for it is not sent."""
        there = {*self.site.environment, *(self.site.secrets or ())}
        names = sorted(self.named - there - self.variables().keys())
        return [
            f"${{{name}}} holds a secret and is not sent: it is read from the environment there"
            for name in names
        ]

    def told_secrets(self) -> list[Problem]:
        """The places where a secret would travel in plain text."""
        mend = "write ${NAME} there and put the value into a secret of the cluster"
        problems = [
            Problem("-s", "holds a secret, which others could read on the cluster", text, mend=mend)
            for text in self.overrides
            if _is_telling(text)
        ]
        for number, line in enumerate(self.content.decode().splitlines(), 1):
            if _is_telling(line):
                what = "the job file holds a secret, which others could read on the cluster"
                problems.append(Problem("", f"line {number}: {what}", mend=mend))
        return problems

    def with_endings(self) -> list[Problem]:
        """Overrides that cannot be given on one line."""
        return [
            Problem("-s", "an override is one line", text)
            for text in self.overrides
            if "\n" in text
        ]


def _is_telling(text: str) -> bool:
    return bool(secrets_in(text)) or mask(text) != text


def _need(cluster: Any) -> Need:
    most = getattr(cluster, "max_workers", cluster.workers)
    return Need(most, cluster.cpus_per_worker, cluster.gpus_per_worker)


def _refuse_large(parcel: Parcel, file: Path) -> None:
    if parcel.size <= LARGEST:
        return
    name, content = max(parcel.files.items(), key=lambda item: len(item[1]))
    raise InputError(
        Problem(
            "",
            f"{file} with the files beside it takes {parcel.size:,} bytes, {name} alone "
            f"{len(content):,}",
            allowed=f"{LARGEST:,} bytes",
            mend="put what is large into the image, or into the storage",
        )
    )
