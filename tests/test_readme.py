"""README.md by its word: every file, command and snippet in it works as it stands."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()
PATIENCE_S = 280.0


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        line: where it begins.
        language: the word behind the fence.
        file: name given in the line before, or None.
        text: what is inside.
    """

    line: int
    language: str
    file: str | None
    text: str

    @property
    def commands(self) -> list[str]:
        return [line[2:] for line in self.text.splitlines() if line.startswith("$ ")]


def blocks(text: str) -> list[Block]:
    found = []
    name = None
    lines = iter(enumerate(text.splitlines(), 1))
    for number, line in lines:
        if line.startswith("```"):
            inside = []
            for _, inner in lines:
                if inner == "```":
                    break
                inside.append(inner)
            found.append(Block(number, line[3:], name, "\n".join(inside) + "\n"))
            name = None
        elif line:
            match = re.fullmatch(r"`([\w./-]+\.\w+)`:", line)
            name = match.group(1) if match else None
    return found


BLOCKS = blocks(TEXT)
FILES = [block for block in BLOCKS if block.file]
CONSOLE = [block for block in BLOCKS if block.language == "console"]
SNIPPETS = [
    block
    for block in BLOCKS
    if block.language == "python" and not block.file and "import trainwright" in block.text
]


def run(command: str | list[str], folder: Path) -> None:
    """Run a command as a user with the environment activated would."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        shell=isinstance(command, str),
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reader's working folder, kept over all commands."""
    return tmp_path_factory.mktemp("reader")


def test_there_is_something_to_test() -> None:
    assert {Path(block.file or "").suffix for block in FILES} == {".py", ".yaml"}
    assert len(CONSOLE) >= 4
    assert SNIPPETS
    for block in CONSOLE:
        assert block.commands, f"README.md:{block.line}: a console block without a command"


@pytest.mark.parametrize("block", CONSOLE, ids=lambda block: f"line {block.line}")
def test_commands(block: Block, folder: Path) -> None:
    for file in FILES:
        if file.line < block.line:
            (folder / str(file.file)).write_text(file.text)
    for command in block.commands:
        run(command, folder)


@pytest.mark.parametrize("block", SNIPPETS, ids=lambda block: f"line {block.line}")
def test_snippets(block: Block, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "jobs", tmp_path / "jobs")
    run([sys.executable, "-c", block.text], tmp_path)


def test_files_are_used() -> None:
    """A file that no command mentions, nor another file, would never be tried."""
    used = "\n".join(block.text for block in BLOCKS)
    for block in FILES:
        assert Path(str(block.file)).name in used.replace(block.text, ""), block.file


def test_every_verb_and_option_exists() -> None:
    """``trainwright VERB`` anywhere in the text, with its long options, is one of the verbs."""
    mentioned = re.findall(r"^(?:\$ )?trainwright (\w+)(.*)$", TEXT, re.MULTILINE)
    mentioned += re.findall(r"`trainwright (\w+)([^`]*)`", TEXT)
    assert len({verb for verb, _ in mentioned}) >= 6
    for verb in sorted({verb for verb, _ in mentioned}):
        done = subprocess.run(
            [Path(sys.executable).parent / "trainwright", verb, "--help"],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert done.returncode == 0, f"there is no trainwright {verb}"
        for rest in (rest for name, rest in mentioned if name == verb):
            for option in re.findall(r"--[a-z-]+", rest.split("#")[0]):
                assert option in done.stdout, f"trainwright {verb} has no {option}"


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    mentioned = set(re.findall(r"\bmake ([a-z]+)", TEXT))
    assert {"demo", "test"} <= mentioned
    assert mentioned <= targets


def test_every_path_exists() -> None:
    """Paths of the repository in backticks, and jobs that commands name."""
    paths = set(re.findall(r"`((?:platform|objectives|strategies|jobs|tests|k8s)/?[\w./]*)`", TEXT))
    paths |= set(re.findall(r"\bjobs/[\w/]+\.yaml", TEXT))
    assert "jobs/quickstart.yaml" in paths
    assert [path for path in paths if not (ROOT / path).exists()] == []
