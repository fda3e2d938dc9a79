"""What checking a job leaves unimported: it decides how long the command takes to start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch

from trainwright.optimizers import without_compiler

JOB = """
version: 1
name: small
data: {source: synthetic_classification, batch_size: 32}
model: {name: mlp, hidden: [4]}
objective: cross_entropy
optimizer: {name: adamw, lr: 0.01}
training: {steps: 2}
cluster: {workers: 0}
"""

CHECK = """
import sys
from trainwright.job import Job
from trainwright.orchestration.prepare import prepare

prepare(Job.load(sys.argv[1]))
heavy = ("torch._dynamo", "ray", "deepspeed", "mlflow", "sklearn", "torchmetrics", "matplotlib")
print(*[name for name in heavy if name in sys.modules])
"""


def test_checking_a_job_imports_nothing_that_it_does_not_use(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(JOB)
    done = subprocess.run(
        [sys.executable, "-c", CHECK, str(file)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.split() == []


def test_optimizers_made_without_the_compiler_are_the_same() -> None:
    parameter = torch.nn.Parameter(torch.ones(3))
    marked = torch.optim.Optimizer.add_param_group
    with without_compiler():
        assert torch.optim.Optimizer.add_param_group is not marked
        made = torch.optim.AdamW([{"params": [parameter], "lr": 0.5}], lr=0.1)
    assert torch.optim.Optimizer.add_param_group is marked
    ordinary = torch.optim.AdamW([{"params": [parameter], "lr": 0.5}], lr=0.1)
    assert made.state_dict() == ordinary.state_dict()
    assert made.param_groups == ordinary.param_groups
