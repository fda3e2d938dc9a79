"""What is said at the end of a run: results, where they are, what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from trainwright.cli.problems import cause
from trainwright.cli.words import command, duration, importance, metrics, number
from trainwright.overview import parent, shown, storage_option, tracked
from trainwright.runs import RunRecord
from trainwright.storage import Folder

if TYPE_CHECKING:
    from trainwright.orchestration.result import RunResult


def finished_title(result: RunResult, anew: str, done: str = "trained") -> Text:
    """The first line of a finished run.

    Args:
        result: what came of it.
        anew: how one that was finished before is begun once more.
        done: what was not done to such a one again.
    """
    if result.already_finished:
        best = sorted(result.metrics, key=importance)[:1]
        said = f" ({metrics({name: result.metrics[name] for name in best})})" if best else ""
        return Text.assemble(
            ("run ", ""),
            (result.run, "bold"),
            f" is finished already{said}; nothing was {done}; {anew}",
        )
    took = f"{result.steps} {result.unit} in {duration(result.seconds)}"
    return Text.assemble(("finished ", "bold green"), (result.run, "bold"), f"  {took}")


def metrics_table(values: dict[str, float]) -> RenderableType:
    """Metric and value, one a line."""
    table = Table.grid(padding=(0, 2))
    for name in sorted(values, key=importance):
        table.add_row(f"  {name}", Text(number(values[name]), style="bold"))
    return table


def places(folder: Folder, record: RunRecord) -> Iterator[tuple[str, str]]:
    """Label and path or command of everything that a run leaves."""
    yield "run folder", shown(folder.url)
    for label, name in (("plots", "plots"), ("weights", "export")):
        files = folder.names(name)
        if files:
            place = shown((folder / name).url)
            single = len(files) == 1
            yield label, f"{place}/{files[0]}" if single else f"{place} ({len(files)} files)"
    state = tracked(folder, record)
    if state.uri:
        yield "mlflow", mlflow_command(state.uri)
    yield "all runs", command("trainwright", "runs") + storage_option(parent(folder))


def mlflow_command(uri: str) -> str:
    """What opens MLflow's pages of a tracking URI."""
    if uri.startswith(("http://", "https://")):
        return uri
    path = uri.removeprefix("sqlite:///")
    if uri.startswith("sqlite:///") and Path(path).is_relative_to(Path.cwd()):
        uri = f"sqlite:///{Path(path).relative_to(Path.cwd())}"
    return command("mlflow", "ui", "--backend-store-uri", uri)


def failure(
    message: str, folder: Folder | None, again: str, log: str | None = None
) -> list[tuple[str, str]]:
    """Label and text of what to know about a failed run.

    Args:
        message: the error with its traceback.
        folder: the run's folder, once there is one.
        again: what goes on with the run.
        log: the driver's log, where it is not in the run's folder.
    """
    reason, line = cause(message)
    for beginning in ("training failed: ", "the procedure failed: "):
        reason = reason.removeprefix(beginning)
    lines = [("failed", reason)]
    if line:
        lines.append(("at", line))
    if folder is None:
        return lines
    if log is not None:
        lines.append(("log", log))
    logs = [
        name for name in folder.names("logs") if name.endswith(".log") and name != "shipper.log"
    ]
    lines += [("log", shown((folder / "logs" / name).url)) for name in logs]
    how = "go on from the recorded steps" if folder.names("steps") else "start again"
    how = "go on from the last checkpoint" if folder.names("checkpoints") else how
    lines.append(("next", f"mend the cause, then {how} with: {again}"))
    lines.append(("note", "a changed job or plugin file makes it a new run"))
    return lines
