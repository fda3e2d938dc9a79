"""A submitted job on the cluster, from attempt to attempt: what is said, kept and gone on with."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from attempts import Submitted
from driving import KILLED

FAILING = """
from torch import Tensor, nn

class Failing(nn.Module):
    calls = 0

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        Failing.calls += 1
        if Failing.calls > 20:
            raise ValueError("the moon is full")
        return nn.functional.cross_entropy(logits, target)
"""


def test_attempt_after_attempt_goes_on(tmp_path: Path) -> None:
    """Stopped, killed, sent once more: each has its own log, and says what became of it."""
    scene = Submitted(tmp_path)

    stopped = scene.attempt(hold=7)
    stopped.process.terminate()
    stopped.until("stopping: a checkpoint is being written")
    scene.let_go()
    assert stopped.wait() == 130
    assert stopped.log.endswith("\n  continue with: `trainwright submit`, as before\n")
    told = r"\nprogress: step (\d+) of 24 \(\d+%\)\nstopped: at step \1 of 24; a checkpoint"
    assert re.search(told, stopped.log)
    scene.wait_for_logs(stopped)

    killed = scene.attempt(hold=17)
    killed.until("progress: step ")
    killed.process.kill()
    assert killed.wait() == KILLED
    scene.let_go()
    scene.wait_for_logs(stopped, killed)

    done = scene.attempt()
    assert done.wait() == 0, done.log
    assert "going on from an earlier attempt" in done.log
    assert re.search(r"\nprogress: step 24 of 24 \(100%\)\nfinished digits-\w+  24 steps", done.log)
    scene.wait_for_logs(stopped, killed, done)
    assert scene.record.steps == 24

    again = scene.attempt()
    assert again.wait() == 0
    assert "; nothing was trained; with another seed it is another run\n" in again.log
    assert len(scene.kept) == 3


@pytest.mark.parametrize(
    ("values", "status", "last"),
    [
        ({"model": {"name": "no_such_model"}}, 2, "there is no plugin 'no_such_model' in models"),
        (
            {"objective": {"name": "losses.py:Failing"}},
            1,
            "  next: mend the cause, then go on from the last checkpoint with: "
            "`trainwright submit`, as before\n",
        ),
    ],
    ids=["refused", "failed"],
)
@pytest.mark.slow
def test_what_ends_badly_says_so(
    tmp_path: Path, values: dict[str, Any], status: int, last: str
) -> None:
    scene = Submitted(tmp_path, **values)
    (scene.plugins / "losses.py").write_text(FAILING)
    attempt = scene.attempt()
    assert attempt.wait() == status
    assert last in attempt.log
    assert "trainwright run" not in attempt.log
