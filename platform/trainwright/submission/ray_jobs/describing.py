"""What Ray tells of a job, as a submission."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from typing import Any

from trainwright.submission.progress import IN_LOG, Progress
from trainwright.submission.ray_jobs.sending import OURS
from trainwright.submission.target import State, Submission

_STATES: dict[str, State] = {
    "PENDING": "waiting",
    "RUNNING": "running",
    "SUCCEEDED": "finished",
    "FAILED": "failed",
    "STOPPED": "stopped",
}
_LONGEST = 300

_RUN = re.compile(r"run ([\w.-]+), (?:.*, )?in .+")
_OF_RAY = re.compile(r"Running entrypoint for job |\d{4}-\d\d-\d\d [\d:,]+\t[A-Z]+ \w+\.py:\d+ -- ")
_LABEL = re.compile(r"(?:failed|error|internal error): ")
_ERROR = re.compile(r"[A-Za-z_][\w.]*(?:Error|Exception)\b")

_EXITS = {
    1: "",
    2: "it was refused",
    126: "its Python cannot be started there",
    127: "there is no such Python there; at a loopback address it must see this machine's disk",
    130: "it was interrupted",
}


def is_ours(details: Any) -> bool:
    """Whether one of Ray's ``JobDetails`` is a submission of Trainwright's."""
    return details.submission_id is not None and OURS in (details.metadata or {})


def described(url: str, details: Any, log: Sequence[str] = ()) -> Submission:
    """One of Ray's ``JobDetails`` as a submission.

    Args:
        url: of the dashboard.
        details: as the Jobs API has it.
        log: lines of the job's log, in order; its last ones for the progress, its first ones for a
            run whose name was not known when the job was sent.
    """
    told = details.metadata or {}
    state = _STATES[str(details.status.value)]
    run, storage = told.get("run"), told.get("storage")
    if run is None:
        run = next((match[1] for line in log if (match := _RUN.fullmatch(line))), None)
    return Submission(
        id=details.submission_id,
        job=told.get("job", details.submission_id),
        state=state,
        says=_says(state, details),
        progress=progress_in(log),
        submitted=_seconds(details.start_time),
        ended=_seconds(details.end_time) if state in ("finished", "failed", "stopped") else None,
        run=run,
        storage=storage,
        details={"dashboard": f"{url}/#/jobs/{details.submission_id}"},
    )


def progress_in(log: Sequence[str]) -> Progress | None:
    """How far the run is, by the last line that tells."""
    for line in reversed(log):
        if line.startswith(IN_LOG):
            return Progress.of_line(line.removeprefix(IN_LOG))
    return None


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def _says(state: State, details: Any) -> str:
    message = (details.message or "").strip()
    if state == "waiting":
        return message.partition("\n")[0][:_LONGEST].rstrip(".")
    if state != "failed":
        return ""
    code = details.driver_exit_code
    if code is None:
        return message.partition("\n")[0][:_LONGEST]
    reason = _reason(message.partition(":\n")[2].splitlines())
    return ": ".join(filter(None, (_exit(code), reason)))


def _exit(code: int) -> str:
    """An exit status in words."""
    if code in _EXITS:
        return f"exit status {code}" + (f", {_EXITS[code]}" if _EXITS[code] else "")
    number = -code if code < 0 else code - 128
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"exit status {code}"
    why = ", as where memory runs out" if number == signal.SIGKILL else ""
    return f"its driver was ended by {name}{why}"


def _reason(lines: Sequence[str]) -> str:
    """The last line of a log that tells why; where none does, the last one."""
    theirs = [line for line in lines if line.strip() and not _OF_RAY.match(line)]
    whole = [line for line in theirs if not line[0].isspace() and not line.startswith("note: ")]
    told = [line for line in whole if _LABEL.match(line) or _ERROR.match(line)]
    return _LABEL.sub("", (told or whole or theirs or [""])[-1].strip(), count=1)[:_LONGEST]
