"""``trainwright validate``."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from rich.text import Text

from trainwright.cli.options import AsJson, JobFile, Overrides
from trainwright.cli.reporting import Report, reporting
from trainwright.cli.terminal import folded

if TYPE_CHECKING:
    from trainwright.orchestration.validation import Validation


def validate(job: JobFile, overrides: Overrides = [], as_json: AsJson = False) -> None:  # noqa: B006
    """Check a job whole and say what would run, starting nothing.

    Reads the data, finds the plugins, checks their options, tries a few samples.

    Examples:
    $ trainwright validate jobs/quickstart.yaml
    $ trainwright validate my.yaml -s objective=cross_entropy --json

    Exit status: 0 it would run, 2 it would not.
    """
    with reporting(as_json) as report:
        report.answer = {"status": None, "run": None}
        with _waiting(report, f"checking {job}"):
            from trainwright.api import validate as check

            found = check(job, overrides=overrides)
        report.answer = found.to_json()
        _say(report, str(job), found)


def _waiting(report: Report, text: str) -> contextlib.AbstractContextManager[object]:
    if report.err.is_terminal:
        return report.err.status(text)
    return contextlib.nullcontext()


def _say(report: Report, file: str, found: Validation) -> None:
    from trainwright.overview import shown

    title = Text.assemble(("good: ", "bold green"), f"{file} would run as ", (found.run, "bold"))
    report.out.print(title, soft_wrap=True)
    for line in found.summary:
        report.out.print(folded(report.out, Text(line)))
    report.out.print(Text(f"  {shown(found.storage)}: {found.prospect}"), soft_wrap=True)
    for remark in found.remarks:
        note = Text.assemble(("note: ", "yellow"), remark)
        report.out.print(folded(report.out, note))
