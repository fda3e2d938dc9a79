"""Every word of every help text is on its page: brackets are no markup of rich."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import typer

from trainwright.cli.main import app

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_page_says_all_that_was_written_for_it(name: str, call: Callable[..., Any]) -> None:
    said = call(name, "--help", width=80)
    assert said.status == 0
    assert max(map(len, said.out.splitlines())) <= 80
    page = _words(said.out)
    for option in COMMANDS[name].params:
        assert option.help, f"{option.name} has no help"
        assert _words(option.help) <= page
    for word in ("Examples:", f"$ trainwright {name}"):
        assert word in said.out


def _words(text: str) -> set[str]:
    return set(re.sub(r"[│╭╮╰╯─]", " ", text).split())
