"""A submitted job followed to its end: its log as it comes, and what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from trainwright.cli.reporting import INTERRUPTED, Report
from trainwright.cli.sending import again
from trainwright.cli.submissions import line_of
from trainwright.cli.words import command
from trainwright.secrets import mask

if TYPE_CHECKING:
    from trainwright.submission.target import Submission, Target


def print_as_it_is(report: Report, text: str) -> None:
    """Write a text to standard output: neither folded nor coloured, tabs and all."""
    stream = report.out.file
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(mask(text).encode(encoding, "backslashreplace").decode(encoding))


def follow(report: Report, target: Target, submission: str) -> Submission:
    """Print a job's log to the end and say whenever its state changes; what became of it.

    The log goes to standard output, all else to standard error; under ``--json`` there is no log.

    Raises:
        typer.Exit: with status 130 for Ctrl-C, which ends the watching and not the job.
        TargetLost: the target was silent for too long.
    """
    last: Submission | None = None
    with _leaving_it_running(report, target, submission):
        for event in target.follow(submission):
            if isinstance(event, str):
                if not report.as_json:
                    print_as_it_is(report, f"{event}\n")
                    report.out.file.flush()
                continue
            if last is None or (event.state, event.says) != (last.state, last.says):
                report.err.print(line_of(event), soft_wrap=True)
            last = event
            report.answer = {"status": event.state, **event.to_json()}
    assert last is not None
    return last


@contextmanager
def _leaving_it_running(report: Report, target: Target, submission: str) -> Iterator[None]:
    from trainwright.submission.target import TargetLost

    try:
        yield
    except (KeyboardInterrupt, TargetLost) as end:
        if isinstance(end, TargetLost):
            report.error(str(end), "lost sight of it")
            report.answer["error"] = str(end)
        report.remark(f"the job goes on; `{again(target, 'logs', submission, '-f')}` follows it")
        report.remark(f"`{again(target, 'stop', submission)}` stops it")
        raise typer.Exit(1 if isinstance(end, TargetLost) else INTERRUPTED) from None


def exit_with(report: Report, submission: Submission) -> None:
    """Say what to do after a job that has ended.

    Raises:
        typer.Exit: with status 1 for one that failed, 130 for one that was stopped.
    """
    if submission.state == "finished":
        if submission.storage and submission.run:
            storage = submission.storage.rstrip("/").removesuffix(f"/{submission.run}")
            runs = command("trainwright", "runs", "--storage", storage)
            report.remark(f"`{runs}` lists its run, {submission.run}")
        return
    report.remark("submitting the same job again goes on from the last checkpoint")
    raise typer.Exit(1 if submission.state == "failed" else INTERRUPTED)
