"""``trainwright logs``: lines as they are, on a pretended target."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pretended_target import PretendedTarget

Call = Callable[..., Any]
LONG = "epoch 3 [red]loss[/red] :smile: \t" + "x" * 300


def test_logs_as_they_are(target: PretendedTarget, call: Call) -> None:
    target.put("tiny-01234567", "waiting", says="no node has a GPU")
    empty = call("logs", "tiny", "--to", "k8s")
    assert (empty.status, empty.out) == (0, "")
    assert "waiting  no node has a GPU" in empty.err
    assert "note: it has no log yet" in empty.err
    target.lines = [LONG, "", "日本 \x1b[31mred\x1b[0m"]
    said = call("logs", "tiny", "--to", "k8s", width=40)
    assert said.out == "".join(f"{line}\n" for line in target.lines)
    assert said.err == ""


def test_secrets_in_a_log_are_not_shown(
    target: PretendedTarget, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "correct-horse-battery")
    target.put("tiny-01234567", "running")
    target.lines = ["the token is correct-horse-battery"]
    assert call("logs", "tiny", "--to", "k8s").out == "the token is ***\n"


ENDLESS = """\
import itertools
from pretended_target import PretendedTarget
from trainwright.cli.main import main
from trainwright.submission import targets

target = PretendedTarget(lines=(f"line {n}" for n in itertools.count()))
target.put("tiny-01234567", "running")
targets.Address.open = lambda self: target
main(["logs", "tiny", "--to", "k8s"])
"""


def test_a_reader_that_has_enough_ends_the_log() -> None:
    support = Path(__file__).parents[2] / "support"
    process = subprocess.Popen(
        [sys.executable, "-c", ENDLESS],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PYTHONPATH": str(support), "PATH": "/usr/bin:/bin"},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == b"line 0\n"
    process.stdout.close()
    assert process.wait(timeout=60) == 1
    assert process.stderr.read() == b""
    process.stderr.close()
