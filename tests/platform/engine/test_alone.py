"""DeepSpeed in a process that nobody gave a process group: ``workers: 0``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import json, sys
from trainwright.job import Job
from trainwright.orchestration.launch import run_job

job = {
    "name": "alone",
    "data": {"source": "digits", "batch_size": 128, "validation": 0.2},
    "model": {"name": "mlp", "hidden": [16]},
    "objective": "cross_entropy",
    "training": {"epochs": 1},
    "deepspeed": {"zero_optimization": {"stage": 2}} if sys.argv[2] == "deepspeed" else {},
    "engine": sys.argv[2],
    "cluster": {"workers": 0},
    "storage": sys.argv[1],
    "tracking": {"enabled": False},
}
print(json.dumps(run_job(Job.from_dict(job)).metrics))
"""


@pytest.mark.timeout(300)
def test_both_engines_train_in_this_process_alike(tmp_path: Path) -> None:
    losses = []
    for engine in ("local", "deepspeed"):
        command = [sys.executable, "-c", PROGRAM, str(tmp_path / engine), engine]
        result = subprocess.run(command, capture_output=True, text=True, timeout=240)
        assert result.returncode == 0, result.stderr
        losses.append(json.loads(result.stdout)["validation/loss"])
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
