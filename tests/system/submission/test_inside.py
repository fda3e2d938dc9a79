"""A submitted job on the cluster, from attempt to attempt: what is said, kept and gone on with."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any

import pytest
from attempts import Attempt, unpack
from driving import KILLED, wait_until
from stories import record_of, the_run

from trainwright.submission.inside.kept_logs import PLACE

SABOTEUR = Path(__file__).parents[1] / "plugins" / "saboteur.py"


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


class Scene:
    """A parcel whose job can be held at an update."""

    def __init__(self, folder: Path, **values: Any) -> None:
        self.storage = folder / "runs"
        self.orders = folder / "orders"
        self.orders.mkdir(parents=True)
        self._folder = folder
        self._num_attempts = 0
        self.parcel = unpack(
            folder / "parcel",
            {
                "name": "digits",
                "data": {"source": "digits", "batch_size": 256, "validation": 0.2},
                "model": {"name": "convnet", "width": 2},
                "objective": {"name": "z_loss"},
                "strategies": [{"name": "saboteur.py:Saboteur", "orders": str(self.orders)}],
                "optimizer": {"name": "adamw", "lr": 0.01},
                "training": {"epochs": 4, "checkpoint_every": "5 steps"},
                "cluster": {"workers": 0},
                "tracking": {"enabled": False},
                **values,
            },
            f"storage={self.storage}",
        )
        (self.parcel / "saboteur.py").write_bytes(SABOTEUR.read_bytes())

    def attempt(self, hold: int | None = None) -> Attempt:
        """Start one, and wait until it stands at the update ``hold``."""
        (self.orders / "holding").unlink(missing_ok=True)
        if hold is not None:
            (self.orders / f"hold-{hold}-0").touch()
        self._num_attempts += 1
        attempt = Attempt(self.parcel, self._folder / f"{self._num_attempts}.log")
        if hold is not None:
            wait_until((self.orders / "holding").exists, what="the update")
        return attempt

    def let_go(self) -> None:
        for order in self.orders.glob("hold-*"):
            order.unlink()

    @property
    def kept(self) -> list[str]:
        """The kept logs, the oldest first."""
        files = (the_run(self.storage) / PLACE).glob("*.log")
        return [path.read_text() for path in sorted(files)]

    def wait_for_logs(self, *attempts: Attempt) -> None:
        """Until the logs of these attempts, and no others, are kept whole."""
        wait_until(lambda: self.kept == [attempt.log for attempt in attempts], what="the logs")


def test_attempt_after_attempt_goes_on(tmp_path: Path) -> None:
    """Stopped, killed, sent once more: each has its own log, and says what became of it."""
    scene = Scene(tmp_path)

    stopped = scene.attempt(hold=7)
    stopped.send(signal.SIGTERM)
    stopped.until("stopping: a checkpoint is being written")
    scene.let_go()
    assert stopped.wait() == 130
    assert stopped.log.endswith("\n  continue with: `trainwright submit`, as before\n")
    told = r"\nprogress: step (\d+) of 24 \(\d+%\)\nstopped: at step \1 of 24; a checkpoint"
    assert re.search(told, stopped.log)
    scene.wait_for_logs(stopped)

    killed = scene.attempt(hold=17)
    killed.until("progress: step ")
    killed.send(signal.SIGKILL)
    assert killed.wait() == KILLED
    scene.let_go()
    scene.wait_for_logs(stopped, killed)

    done = scene.attempt()
    assert done.wait() == 0, done.log
    assert "going on from an earlier attempt" in done.log
    assert re.search(r"\nprogress: step 24 of 24 \(100%\)\nfinished digits-\w+  24 steps", done.log)
    scene.wait_for_logs(stopped, killed, done)
    assert record_of(the_run(scene.storage)).steps == 24

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
    scene = Scene(tmp_path, **values)
    (scene.parcel / "losses.py").write_text(FAILING)
    attempt = scene.attempt()
    assert attempt.wait() == status
    assert last in attempt.log
    assert "trainwright run" not in attempt.log
