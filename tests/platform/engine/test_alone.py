"""DeepSpeed in a process that nobody gave a process group: ``workers: 0``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import trainwright

PROGRAM = """
import json, sys, trainwright

print(json.dumps(trainwright.run(json.loads(sys.argv[1])).metrics))
"""
JOB = {
    "name": "alone",
    "data": {"source": "digits", "batch_size": 128, "validation": 0.2},
    "model": {"name": "mlp", "hidden": [16]},
    "objective": "cross_entropy",
    "training": {"epochs": 1},
    "cluster": {"workers": 0},
    "tracking": {"enabled": False},
}


@pytest.mark.timeout(300)
def test_deepspeed_trains_in_one_process_like_plain_pytorch(tmp_path: Path) -> None:
    job = {
        **JOB,
        "engine": "deepspeed",
        "deepspeed": {"zero_optimization": {"stage": 2}},
        "storage": str(tmp_path / "deepspeed"),
    }
    command = [sys.executable, "-c", PROGRAM, json.dumps(job)]
    alone = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert alone.returncode == 0, alone.stderr
    local = trainwright.run({**JOB, "engine": "local", "storage": str(tmp_path / "local")})
    metrics = json.loads(alone.stdout.splitlines()[-1])
    assert metrics["validation/loss"] == pytest.approx(local.metrics["validation/loss"], abs=1e-5)
