"""The command ``trainwright``."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.text import Text

from trainwright import __version__
from trainwright.cli.commands.delete import delete
from trainwright.cli.commands.diff import diff
from trainwright.cli.commands.doctor import doctor
from trainwright.cli.commands.evaluate import evaluate
from trainwright.cli.commands.export import export
from trainwright.cli.commands.logs import logs
from trainwright.cli.commands.new import new
from trainwright.cli.commands.plugins import list_plugins, show
from trainwright.cli.commands.predict import predict
from trainwright.cli.commands.run import run
from trainwright.cli.commands.runs import runs
from trainwright.cli.commands.schema import schema
from trainwright.cli.commands.status import status
from trainwright.cli.commands.stop import stop
from trainwright.cli.commands.submit import submit
from trainwright.cli.commands.sync import sync
from trainwright.cli.commands.validate import validate
from trainwright.cli.reporting import INTERRUPTED, print_json
from trainwright.cli.terminal import console

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _function, _name in (
    (run, "run"),
    (validate, "validate"),
    (list_plugins, "list"),
    (show, "show"),
    (schema, "schema"),
    (runs, "runs"),
    (diff, "diff"),
    (evaluate, "evaluate"),
    (predict, "predict"),
    (export, "export"),
    (sync, "sync"),
    (new, "new"),
    (doctor, "doctor"),
    (submit, "submit"),
    (status, "status"),
    (logs, "logs"),
    (stop, "stop"),
    (delete, "delete"),
):
    app.command(_name)(_function)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"trainwright {__version__}")
        raise typer.Exit


@app.callback()
def trainwright(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print it."),
    ] = False,
) -> None:
    """Train PyTorch models from one job file, with published methods plugged in by name.

    A first run, on data that comes with scikit-learn:
    $ trainwright run jobs/quickstart.yaml
    $ trainwright runs
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process.

    Args:
        arguments: default: those of the process. None at all shows the help.

    Raises:
        SystemExit: always, with the exit status: 0 done, 1 failed, 2 bad input, 130 interrupted.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(_status(given or ["--help"]))


def _status(arguments: list[str]) -> int:
    try:
        ended: Any = app(arguments, prog_name="trainwright", standalone_mode=False)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output (head, a pager) has gone; nothing is left to say.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if getattr(error, "exit_code", None) != 2 or not hasattr(error, "format_message"):
            raise
        return _misused(error, "--json" in arguments)
    return ended if isinstance(ended, int) else 0


def _misused(error: Any, as_json: bool) -> int:
    """Say what is wrong with the command line itself."""
    message = error.format_message()
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "trainwright"
    err = console(sys.stderr)
    err.print(Text.assemble(("error: ", "bold red"), message), soft_wrap=True)
    err.print(Text(f"`{path} --help` shows what can be said"), soft_wrap=True)
    if as_json:
        problem = {"path": "", "message": message}
        print_json(sys.stdout, {"status": "refused", "error": message, "problems": [problem]})
    return 2
