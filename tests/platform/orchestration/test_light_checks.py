"""What checking a job and its training leave unimported: it decides how long they take to start."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import torch

from trainwright.optimizers import without_compiler

JOB = """
version: 1
name: small
data: {source: digits, batch_size: 32, validation: 0.2}
model: {name: mlp, hidden: [4]}
objective: cross_entropy
optimizer: {name: adamw, lr: 0.01}
training: {steps: 2}
metrics: [accuracy]
engine: deepspeed
cluster: {workers: 0}
tracking: {enabled: false}
"""

CHECK = """
import contextlib, json, sys
from trainwright.errors import InputError
from trainwright.job import Job
from trainwright.orchestration.launch import run_job
from trainwright.orchestration.prepare import prepare

HEAVY = ("torch", "torchmetrics", "deepspeed", "torch._dynamo", "transformers", "scipy.signal",
         "scipy.stats", "matplotlib", "sklearn", "pandas", "ray", "mlflow")
found = []

def note():
    found.append([name for name in HEAVY if name in sys.modules])

with contextlib.suppress(InputError):
    Job.load(sys.argv[1], ["trainig.epochs=3"])
note()
job = Job.load(sys.argv[1], [f"storage={sys.argv[2]}"])
prepare(job)
note()
run_job(job)
note()
print(json.dumps(found))
"""

LATE = """
import contextlib, sys
from trainwright.plugins.late import import_torchmetrics

import_torchmetrics()
assert not {"matplotlib", "transformers", "scipy.signal"} & sys.modules.keys()
import matplotlib, scipy.signal, torch
matplotlib.use("agg")
from torchmetrics.classification import MulticlassAccuracy
metric = MulticlassAccuracy(3)
metric.update(torch.tensor([0, 1]), torch.tensor([0, 2]))
figure, axes = metric.plot()
assert type(figure) is matplotlib.figure.Figure
from torchmetrics.functional.text import bert
with contextlib.suppress(OSError, ImportError):  # transformers need not be installed
    bert.AutoTokenizer.from_pretrained("/nowhere/at/all")
    print("a tokenizer from nowhere")
print(scipy.signal.windows.__name__)
"""


def python(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_job_imports_nothing_before_it_uses_it(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(JOB)
    wrong, right, trained = json.loads(python(CHECK, str(file), str(tmp_path / "runs")))
    assert wrong == ["torch", "torchmetrics"]
    assert right == ["torch", "torchmetrics"]
    assert trained == [*right, "deepspeed", "matplotlib"]  # for the pictures at the end


def test_what_torchmetrics_lacks_is_there_when_it_is_called() -> None:
    assert python(LATE).split() == ["scipy.signal.windows"]


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
