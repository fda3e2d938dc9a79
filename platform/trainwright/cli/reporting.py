"""How every command ends: its answer, its exit status, and what is said when it fails."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import typer
from rich.console import Console
from rich.text import Text

from trainwright.cli.problems import problem_to_json, refusal, write_traceback
from trainwright.cli.terminal import console, lasting, reserved_output
from trainwright.errors import InputError, TrainwrightError
from trainwright.plain import plain_json
from trainwright.secrets import mask

INTERRUPTED = 130

_OURS = ("builtins", "trainwright")
"""Modules of exceptions that only we are to blame for; others come from stores and servers."""


@dataclass
class Report:
    """What a command has to say.

    Attributes:
        out: results for people; silent under ``--json``.
        err: progress, remarks and errors.
        as_json: whether one JSON object is wanted.
        answer: that object; a failure adds ``status`` and ``error`` to it.
        log: file that takes the traceback of an unexpected error, once there is one.
        anew: how a run that is finished already is begun once more.
    """

    out: Console
    err: Console
    as_json: bool
    answer: dict[str, Any] = field(default_factory=dict)
    log: Path | None = None
    anew: str = "--fresh starts anew"

    def remark(self, text: str) -> None:
        """Say something that is neither result nor error."""
        self.err.print(Text.assemble(("note: ", "yellow"), mask(text)), soft_wrap=True)

    def error(self, text: str, kind: str = "error") -> None:
        """Say what went wrong."""
        self.err.print(Text.assemble((f"{kind}: ", "bold red"), mask(text)), soft_wrap=True)


@contextlib.contextmanager
def reporting(as_json: bool = False) -> Iterator[Report]:
    """Around the body of a command: turns errors into words, JSON and an exit status.

    Raises:
        typer.Exit: with the exit status of an error.
    """
    with contextlib.ExitStack() as stack:
        err = console(stack.enter_context(lasting(sys.stderr, 2)))
        if as_json:
            stream = stack.enter_context(reserved_output())
            report = Report(Console(quiet=True), err, True)
        else:
            stream = sys.stdout
            report = Report(console(stream), err, False)
        status = 0
        try:
            yield report
        except typer.Exit as asked:
            status = asked.exit_code
        except BrokenPipeError:
            raise
        except KeyboardInterrupt:
            status = _interrupted(report)
        except Exception as error:
            status = _failed(report, error)
        if as_json:
            print_json(stream, report.answer)
    if status:
        raise typer.Exit(status)


def print_json(stream: TextIO, value: Mapping[str, Any]) -> None:
    """One JSON object and the end of a line."""
    text = mask(json.dumps(plain_json(value), indent=2, ensure_ascii=False)) + "\n"
    # Half a surrogate, as a file name that is no UTF-8 has it, becomes an escape of JSON.
    stream.write(text.encode("utf-8", "backslashreplace").decode())
    stream.flush()


def _interrupted(report: Report) -> int:
    report.answer.update(status="interrupted")
    report.answer.setdefault("error", "interrupted")
    report.error("stopped by the user", "interrupted")
    return INTERRUPTED


def _failed(report: Report, error: Exception) -> int:
    if isinstance(error, InputError):
        report.answer.update(
            status="refused",
            error=str(error),
            problems=[problem_to_json(problem) for problem in error.problems],
        )
        report.err.print(refusal(error.problems, report.err.width), soft_wrap=True)
        return error.exit_status
    report.answer.update(status="failed", error=mask(str(error)) or type(error).__name__)
    if isinstance(error, TrainwrightError):
        report.error(str(error))
        return error.exit_status
    report.answer["error"] = mask(f"{type(error).__name__}: {error}")
    place = write_traceback(error, report.log)
    if isinstance(error, OSError) or type(error).__module__.partition(".")[0] not in _OURS:
        report.error(report.answer["error"])
        report.remark(f"`trainwright doctor` checks this machine; traceback: {place}")
        return 1
    report.error(f"{type(error).__name__}: {error}", "internal error")
    report.remark(f"this is a bug in Trainwright; the full traceback is in {place}")
    return 1
