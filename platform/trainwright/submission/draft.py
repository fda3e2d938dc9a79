"""A job on its way: the file as it is sent, and what is changed in it for the journey."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trainwright.errors import Problem
from trainwright.job import Job
from trainwright.job.document import Document, read_text
from trainwright.job.environment import variables_in
from trainwright.job.load import checked
from trainwright.job.merging import read_with_extends
from trainwright.job.overrides import apply_overrides
from trainwright.job.yaml_reader import Parsed, read_yaml
from trainwright.job.yaml_writer import yaml_text
from trainwright.submission.secrecy import told_lines, told_overrides, told_values
from trainwright.submission.site import Site
from trainwright.submission.texts import texts_in


@dataclass(frozen=True)
class Draft:
    """A job file with its overrides.

    Attributes:
        file: the job file.
        text: what it holds.
        parsed: its values with what it extends, before anything else is worked in.
        overrides: those of the user, then those that the site asks for.
        site: where it will run.
    """

    file: Path
    text: str
    parsed: Parsed
    overrides: tuple[str, ...]
    site: Site

    @classmethod
    def read(cls, file: Path, overrides: Sequence[str], site: Site) -> Draft:
        """The draft of a job file.

        Raises:
            JobError: it cannot be read.
        """
        text = read_text(file)
        return cls(file, text, read_with_extends(text, str(file)), tuple(overrides), site)

    def with_more(self, overrides: Sequence[str]) -> Draft:
        """The same with further overrides."""
        return replace(self, overrides=(*self.overrides, *overrides))

    @property
    def is_merged(self) -> bool:
        """Whether files that it extends have to be worked into it."""
        return self.parsed.values != read_yaml(self.text, str(self.file)).values

    @property
    def content(self) -> str:
        """The job file as it is sent: the very text, unless it extends another one."""
        return yaml_text(self.parsed.values) if self.is_merged else self.text

    def job(self, *further: str) -> Job[Any]:
        """The job with all that is changed in it, and ``further`` changes.

        Raises:
            JobError: it is none.
        """
        document = Document.read(
            self.text,
            str(self.file),
            [*self.overrides, *further],
            self.site.environ(frozenset(self._named)),
        )
        return checked(document, self.file.resolve().parent)

    def variables(self) -> dict[str, str]:
        """The variables that the job needs, that only this machine has, and that are no secret."""
        return self.site.sent(frozenset(self._named))

    @property
    def _named(self) -> dict[str, str]:
        """The environment variables that the job names -> where it does so first."""
        values = apply_overrides(self.parsed, self.overrides).values
        found: dict[str, str] = {}
        for path, text in texts_in(values):
            for name in variables_in(text):
                found.setdefault(name, path)
        return found

    def remarks(self) -> list[str]:
        """What must be in the cluster's environment, for it is not sent."""
        if self.site.secrets is not None:
            return []
        return [
            f"${{{name}}} holds a secret and is not sent: it is read from the environment there"
            for name in self.site.unsent(frozenset(self._named))
        ]

    def problems(self) -> list[Problem]:
        """Secrets that would travel in plain text, and those that the cluster does not have.

        Raises:
            JobError: an override leads nowhere.
        """
        parsed = apply_overrides(self.parsed, self.overrides)
        found = told_values(parsed)
        if not found:  # that leaves comments
            found += told_overrides(self.overrides)
            found += [] if self.is_merged else told_lines(self.text, str(self.file))
        if self.site.secrets is not None:
            named = self._named
            found += [_missing(name, named[name]) for name in self.site.unsent(frozenset(named))]
        return Document(parsed.values, parsed.locations, str(self.file), self.text).sorted(found)


def _missing(name: str, path: str) -> Problem:
    return Problem(
        path,
        f"${{{name}}} holds a secret, which is not sent, and no pod has it",
        mend=f"name the Secret that has it in the profile, under secret_environment: {name}",
    )
