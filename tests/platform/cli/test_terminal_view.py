"""What a person at a terminal of 80 columns sees, through a real pseudo-terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

WIDTH = 80
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def watch(*arguments: str) -> tuple[int, str]:
    """Exit status, and everything written to the terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, WIDTH, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "OMP_NUM_THREADS": "1"}
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen(
        [sys.executable, "-m", "trainwright", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        start_new_session=True,
    )
    os.close(theirs)
    written, deadline = b"", time.monotonic() + 240
    while time.monotonic() < deadline:
        if select.select([ours], [], [], 0.2)[0]:
            try:
                written += os.read(ours, 65536)
            except OSError:  # the other end is closed: the process has ended
                break
    os.close(ours)
    return process.wait(timeout=30), written.decode()


def lines_of(written: str) -> list[str]:
    """Every line that was ever drawn, without colours and cursor movements."""
    return [line for line in re.split(r"[\r\n]+", _ESCAPE.sub("", written)) if line.strip()]


def test_a_run_draws_its_progress_and_leaves_a_summary(job: Path) -> None:
    (job.parent / "losses.py").write_text(
        "import time\nimport torch\n\n\nclass Slow(torch.nn.CrossEntropyLoss):\n"
        "    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:\n"
        "        time.sleep(0.08)\n"
        "        return super().forward(logits, target)\n"
    )
    status, written = watch("run", "job.yaml", "-s", "objective=losses.py:Slow")
    lines = lines_of(written)
    assert status == 0, "\n".join(lines)
    text = "\n".join(lines)
    for pattern in (
        r"checking job\.yaml \(\d",
        r"run tiny-[0-9a-f]{8}, in runs/tiny-",
        r"  data: 1438 training, 359 validation samples",
        r"tiny-[0-9a-f]{8} +━+.* +\d+/24 +\d+% +0:0\d left",
        r"loss \d\.\d+  [\d,]+ samples/s  validation/accuracy 0\.\d+",
        r"finished tiny-[0-9a-f]{8}  24 steps in \d",
        r"  weights     runs/tiny-",
    ):
        assert re.search(pattern, text), f"{pattern} is not in\n{text}"
    live = [line for line in lines if "━" in line or "samples/s" in line]
    assert max(len(line) for line in live) <= WIDTH
    # The picture is taken away at the end, and the cursor is back.
    end = written.index("finished ")
    assert written.rindex("\x1b[?25h") < end
    after = lines_of(written[end:])
    assert not any("━" in line for line in after)


def test_a_refusal_is_folded_below_its_beginning(job: Path) -> None:
    status, written = watch("validate", "job.yaml", "-s", "training.epoch=3")
    lines = lines_of(written)
    assert status == 2
    (first,) = (i for i, line in enumerate(lines) if line.startswith("    allowed: "))
    assert lines[first + 1].startswith(" " * 13)
    assert max(len(line) for line in lines) <= WIDTH


def test_the_doctor_does_not_smear_its_findings(tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    job.write_text(
        "name: a\ndata: {source: digits}\nmodel: mlp\nobjective: cross_entropy\n"
        "cluster: {workers: 0}\ntracking: {enabled: false}\n"
    )
    status, written = watch("doctor", "job.yaml")
    lines = lines_of(written)
    assert status == 0, "\n".join(lines)
    assert any(line.startswith("ok    python ") for line in lines)
    assert any(line.startswith("ok    storage ") for line in lines)
    assert lines[-1] == "ready to run"
