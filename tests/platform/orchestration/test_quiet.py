"""Noise goes to a file, whoever makes it, and the terminal comes back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from trainwright.orchestration.quiet import tail

PROGRAM = """
import contextlib, os, pathlib, subprocess, sys
from trainwright.orchestration.quiet import output_to

with contextlib.suppress(KeyError), output_to(pathlib.Path(sys.argv[1])):
    print("from python")
    os.write(2, b"from a library\\n")
    subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
    if len(sys.argv) > 2:
        raise KeyError
print("back")
"""


def _run(*arguments: str) -> tuple[str, str]:
    command = [sys.executable, "-c", PROGRAM, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return result.stdout, result.stderr


def test_python_libraries_and_child_processes_are_caught(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "driver.log"
    assert _run(str(log)) == ("back\n", "")
    assert sorted(log.read_text().splitlines()) == ["from a child", "from a library", "from python"]


def test_output_comes_back_after_an_error(tmp_path: Path) -> None:
    assert _run(str(tmp_path / "log"), "raise") == ("back\n", "")


def test_the_tail_of_a_log(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("\n".join(map(str, range(30))))
    assert tail(tmp_path / "log", 2) == "28\n29"
    assert tail(tmp_path / "none") == ""
