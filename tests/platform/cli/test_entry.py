"""The command itself: fast, honest about its own misuse, quiet when nobody reads."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import trainwright
from trainwright.cli.main import main

COMMANDS = ("run", "validate", "list", "show", "schema", "runs", "export", "sync", "doctor")
HEAVY = ("torch", "ray", "mlflow", "deepspeed", "sklearn", "torchmetrics", "matplotlib", "pyarrow")


def _status(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


def _python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )


def test_version(call: Callable[..., Any]) -> None:
    said = call("--version")
    assert (said.status, said.out) == (0, f"trainwright {trainwright.__version__}\n")


def test_help_names_every_command_in_one_line_each(call: Callable[..., Any]) -> None:
    said = call("--help", width=80)
    assert said.status == 0
    for name in COMMANDS:
        (line,) = (one for one in said.out.splitlines() if one.startswith(f"│ {name} "))
        assert line.rstrip("│ ").endswith("."), line


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_examples_that_fit_a_terminal(
    name: str, call: Callable[..., Any]
) -> None:
    said = call(name, "--help", width=80)
    examples = [line for line in said.out.splitlines() if line.lstrip().startswith("$ ")]
    assert examples
    assert all(f"trainwright {name}" in line for line in examples)


def test_without_arguments_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert _status() == 0
    assert "validate" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["frobnicate"], "No such command 'frobnicate'"),
        (["run"], "Missing argument 'JOB'"),
        (["run", "job.yaml", "--jsn"], "--jsn"),
        (["run", "job.yaml", "--resume"], "--resume"),
        (["list", "models", "more"], "more"),
    ],
)
def test_a_wrong_command_line_is_refused_with_status_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _status(*arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert message in said.err
    assert "--help` shows" in said.err
    assert "Traceback" not in said.err


def test_a_wrong_command_line_under_json_gives_one_object(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _status("run", "--json") == 2
    said = capsys.readouterr()
    answer = json.loads(said.out)
    assert answer["status"] == "refused"
    assert "JOB" in answer["problems"][0]["message"]
    assert "JOB" in said.err


@pytest.mark.parametrize(
    "arguments", [["--help"], ["run", "--help"], ["list"], ["runs"], ["schema"]]
)
def test_light_commands_import_no_heavy_library(arguments: list[str], tmp_path: Path) -> None:
    code = (
        "import sys\nfrom trainwright.cli.main import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit as end:\n    assert not end.code\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    assert _python(code).stderr.splitlines()[-1] == "[]"


def test_help_takes_less_than_half_a_second_of_processor_time() -> None:
    """Processor time, not wall-clock time: the machine may be busy with other things."""
    command = [sys.executable, "-m", "trainwright", "--help"]

    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, capture_output=True, check=True, timeout=60)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(3)) < 0.5


def test_a_reader_that_goes_away_is_no_error() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "trainwright", "schema"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    process.wait(timeout=60)
    assert b"Traceback" not in errors


def test_the_installed_command_is_this_one() -> None:
    command = Path(sys.executable).with_name("trainwright")
    if not command.exists():
        pytest.skip("the package is not installed with its command")
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["trainwright", trainwright.__version__]


def test_an_unexpected_error_is_short_and_leaves_its_traceback_in_a_file(
    call: Callable[..., Any], job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(storage: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr("trainwright.overview.overview", broken)
    said = call("runs")
    assert said.status == 1
    assert "internal error: KeyError: 'a bug'" in said.err
    assert "Traceback" not in said.err
    place = Path(said.err.strip().rsplit(" ", 1)[-1])
    assert "in broken" in place.read_text()
    os.unlink(place)


def test_an_error_of_the_file_system_is_not_called_a_bug(
    call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(storage: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("trainwright.overview.overview", full)
    said = call("runs", "--json")
    assert said.status == 1
    assert "No space left" in said.json["error"]
    assert "bug" not in said.err
    os.unlink(said.err.strip().rsplit(" ", 1)[-1])
