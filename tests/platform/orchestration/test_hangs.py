"""Hangs on their way from a worker to the user."""

from __future__ import annotations

from pathlib import Path

from trainwright.orchestration.hangs import explain_hangs, forget_hangs, read_hangs, reporter
from trainwright.storage import Folder
from trainwright.training.watchdog import Hang

STOOD = Hang(1, 61.2, "own.py:12 in forward", False, "stack")
WAITED = Hang(0, 61.0, "loop.py:70 in run", True, "stack")


def test_what_is_written_is_read_by_rank(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    assert read_hangs(folder) == []
    for hang in (STOOD, WAITED):
        reporter(folder)(hang)
    folder.write_bytes("logs/hung-worker-2.json", b'{"rank": 2, "sec')
    folder.write_bytes("logs/worker-0.log", b"text")
    assert read_hangs(folder) == [WAITED, STOOD]
    forget_hangs(folder)
    assert read_hangs(folder) == []
    assert folder.names("logs") == ["worker-0.log"]


def test_who_waited_is_not_blamed() -> None:
    assert explain_hangs([]) == ""
    assert explain_hangs([WAITED, STOOD]) == (
        "worker 1 made no progress for 61 s and stood at own.py:12 in forward "
        "(worker 0 waited), see logs/hung-worker-*.json"
    )


def test_where_all_wait_all_are_told() -> None:
    other = Hang(1, 61.2, "loop.py:70 in run", True, "stack")
    text = explain_hangs([WAITED, other])
    assert text.count("stood at loop.py:70 in run") == 2
    assert "waited" not in text


def test_who_says_nothing_while_all_others_wait_is_named() -> None:
    assert explain_hangs([WAITED], [0, 1]) == (
        "worker 1 said nothing, as processes do that are stopped or get no processor; worker 0 "
        "waited for it for 61 s at loop.py:70 in run, see logs/hung-worker-*.json"
    )
    assert explain_hangs([WAITED], range(3)).startswith("workers 1, 2 said nothing")
    assert explain_hangs([STOOD], [0, 1]).startswith("worker 1 made no progress")
