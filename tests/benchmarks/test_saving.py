"""The benchmark of checkpoints in a short form."""

from __future__ import annotations

from pathlib import Path

import psutil
from saving import measure

from trainwright.storage import Folder


def test_a_short_form() -> None:
    result = measure.compare("local", pairs=2, width=40)
    assert result.ratio.pairs == 2
    assert 0 < result.ratio.low <= result.ratio.median <= result.ratio.high
    assert result.size_bytes > 4 * 40 * 40 * 4 * 3
    assert 0 < result.pause.median < result.writing.median
    assert result.background.median > 0
    assert result.server is None


def test_what_other_threads_and_the_server_take_is_measured(tmp_path: Path) -> None:
    trainee = measure.Trainee(Folder(str(tmp_path)), psutil.Process(), width=40)
    trainee.with_checkpoint()
    # This process stands for the server, in steps of a clock's tick.
    assert trainee.servers[0] > trainee.backgrounds[0] - 0.02
    assert trainee.backgrounds[0] > 0
    trainee.forget()
    assert trainee.servers == trainee.backgrounds == []


def test_the_server_has_the_lowest_priority() -> None:
    with measure.storage("s3") as (_, server):
        assert server is not None
        assert server.nice() == 19
