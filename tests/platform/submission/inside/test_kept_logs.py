"""Copies of logs beside the checkpoints."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainwright.storage import Folder
from trainwright.submission.inside import kept_logs
from trainwright.submission.inside.kept_logs import PLACE, KeptLog, Source, name_of, printed

SECRET = "hunter2-hunter2"


class Scene:
    """A log that grows, and its copy."""

    def __init__(self, folder: Path, start: int = 0) -> None:
        self.log = folder / "job.log"
        self.run = folder / "run"
        self.said: list[str] = []
        source = Source(str(self.log), start)
        self.kept = KeptLog(source, Folder(str(self.run)), "now-job", self.said.append)

    def write(self, text: str) -> None:
        with self.log.open("a") as file:
            file.write(text)

    @property
    def copy(self) -> str | None:
        place = self.run / PLACE / "now-job.log"
        return place.read_text() if place.exists() else None


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_a_copy_follows_the_log(scene: Scene) -> None:
    scene.kept.keep()
    assert scene.copy is None
    scene.write("one\n")
    scene.kept.keep()
    assert scene.copy == "one\n"
    scene.write("two\n")
    scene.kept.keep()
    assert scene.copy == "one\ntwo\n"
    assert scene.said == []


def test_last_words_without_an_end_are_kept_at_the_end(scene: Scene) -> None:
    scene.write("one\nFatal Python err")
    scene.kept.keep()
    assert scene.copy == "one\n"
    scene.kept.keep(is_whole=True)
    assert scene.copy == "one\nFatal Python err"


def test_what_was_printed_before_the_attempt_is_not_its_log(tmp_path: Path) -> None:
    (tmp_path / "job.log").write_text("an earlier one\n")
    scene = Scene(tmp_path, start=len("an earlier one\n"))
    scene.write("this one\n")
    scene.kept.keep()
    assert scene.copy == "this one\n"


def test_secrets_are_masked_even_half_written(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORE_TOKEN", SECRET)
    scene.write(f"connecting with {SECRET}\nhttps://me:word@host/ {SECRET[:7]}")
    scene.kept.keep()
    assert scene.copy == "connecting with ***\n"
    scene.write(f"{SECRET[7:]}\n")
    scene.kept.keep()
    assert scene.copy == "connecting with ***\nhttps://me:***@host/ ***\n"


@settings(max_examples=25)  # each writes and syncs a file
@given(lines=st.lists(st.text("ab \N{SNOWMAN}", max_size=30), max_size=40))
def test_of_a_long_log_beginning_and_end_are_kept(
    lines: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    scene = Scene(tmp_path_factory.mktemp("long"))
    scene.write("".join(f"{number} {line}\n" for number, line in enumerate(lines)))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(kept_logs, "MOST_HEAD", 100)
        patched.setattr(kept_logs, "MOST_TAIL", 200)
        scene.kept.keep(is_whole=True)
    whole, copy = scene.log.read_text(), scene.copy or ""
    if len(whole.encode()) <= 300:
        assert copy == whole
        return
    head, mark, tail = copy.partition("... ")
    assert mark
    left_out, _, tail = tail.partition(" bytes are left out here ...\n")
    assert whole.startswith(head)
    assert whole.endswith(tail)
    assert head.endswith("\n")
    assert tail.endswith("\n")
    gone = whole.encode()[len(head.encode()) : len(whole.encode()) - len(tail.encode())]
    assert int(left_out.replace(",", "")) == len(gone)
    assert len(head.encode()) <= 100
    assert len(tail.encode()) <= 200


def test_a_store_that_refuses_is_told_of_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError("no room here")

    with monkeypatch.context() as patched:
        patched.setattr(Folder, "write_bytes", refuse)
        for line in ("one\n", "two\n"):
            scene.write(line)
            scene.kept.keep()
    (said,) = scene.said
    assert said.endswith("PermissionError: no room here")
    scene.kept.keep()
    assert scene.copy == "one\ntwo\n"


def test_names_sort_by_time_and_are_each_attempts_own() -> None:
    names = [name_of("job-01234567", began) for began in (0, 9, 10, 1e9, 2e9)]
    assert sorted(set(names)) == names


def test_what_goes_to_a_file_is_found_once(tmp_path: Path) -> None:
    read, write = os.pipe()
    with (tmp_path / "a").open("w") as one, (tmp_path / "b").open("w") as other:
        one.write("before\n")
        one.flush()
        same = os.dup(one.fileno())
        try:
            found = printed(one.fileno(), same, write, other.fileno())
            assert [(item.start, item.ending) for item in found] == [
                (7, ".log"),
                (0, "-errors.log"),
            ]
            assert Path(found[0].path).read_text() == "before\n"
        finally:
            for number in (same, read, write):
                os.close(number)
