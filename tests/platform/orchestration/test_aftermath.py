"""A group's end in words, and which budget pays for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainwright.orchestration.aftermath import aftermath
from trainwright.orchestration.failures import Failure
from trainwright.orchestration.hangs import reporter
from trainwright.orchestration.ray_errors import KILLED
from trainwright.orchestration.vitals import Memory, Vitals
from trainwright.storage import Folder
from trainwright.training.watchdog import Hang

BROKEN = Failure(0, "RuntimeError", "Connection closed by peer", "trace", "connection")
GONE = Failure(1, "ActorDiedError", KILLED, "", "process")
VITALS = {
    rank: Vitals(
        f"node-{rank}", "box", 70 + rank, "group", "log", Memory(10**9, 7 * 10**9, 8 * 10**9)
    )
    for rank in (0, 1)
}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(str(tmp_path))


def test_a_killed_worker(folder: Folder) -> None:
    folder.write_bytes("logs/worker-1.log", b"its last words\n")
    found = aftermath([BROKEN, GONE], VITALS, set(), folder)
    assert found.incident is not None
    assert found.incident.kind == "worker"
    assert found.incident.what == (
        "worker 1 (process 71 on box) was lost: killed by signal 9 (SIGKILL); if nobody did it, "
        "the system did for lack of memory (7.0 of 8.0 GB were in use, 1.0 GB by this worker)"
    )
    assert found.told.endswith("logs/worker-1.log:\n  | its last words")


def test_a_crash_is_known_by_what_it_left_in_the_log(folder: Folder) -> None:
    folder.write_bytes("logs/worker-1.log", b"a\nFatal Python error: Aborted\n\nCurrent thread\n")
    found = aftermath([GONE], {}, set(), folder)
    assert found.incident is not None
    assert found.incident.what == "worker 1 was lost: it crashed: Aborted"


def test_a_dead_node_explains_broken_connections(folder: Folder) -> None:
    found = aftermath([BROKEN], VITALS, {"node-1", "another"}, folder)
    assert found.incident is not None
    assert found.incident.kind == "node"
    assert found.incident.what == "worker 1 (process 71 on box) was lost: its node died"


def test_a_hang_is_what_is_told(folder: Folder) -> None:
    reporter(folder)(Hang(1, 61.0, "own.py:12 in forward", False, "stack"))
    found = aftermath([GONE], VITALS, set(), folder)
    assert found.incident is not None
    assert found.incident.what.startswith("worker 1 made no progress for 61 s and stood at own.py")


def test_code_that_raises_is_not_tried_again(folder: Folder) -> None:
    bug = Failure(1, "KeyError", "'teacher'", "Traceback: KeyError", "code")
    found = aftermath([BROKEN, bug], VITALS, {"node-1"}, folder)
    assert found.incident is None
    assert found.told.startswith("worker 1 failed: KeyError: 'teacher'\nTraceback: KeyError")
    assert found.told.endswith("logs/worker-1.log")


def test_without_any_word(folder: Folder) -> None:
    assert aftermath([], {}, set(), folder).told == "the workers ended without a result"
    lost = Failure(None, "ActorDiedError", "The actor died", "", "start")
    found = aftermath([lost], {}, set(), folder)
    assert found.incident is not None
    assert found.incident.what == "the workers were lost: ActorDiedError: The actor died"
