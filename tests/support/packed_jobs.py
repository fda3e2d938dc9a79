"""Jobs of every kind with plugin files in all the places where one can be named."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from trainwright import api
from trainwright.submission import packing
from trainwright.submission.checking import Checked
from trainwright.submission.parcel import JOB, Orders, Parcel

LOSS = """\
from torch import nn
from helpers import scale


class Mine(nn.Module):
    def __init__(self, factor: float = 1.0):
        super().__init__()
        self.factor = factor

    def forward(self, logits, target):
        return scale(self.factor) * nn.functional.cross_entropy(logits, target)
"""
HELPERS = """\
def scale(factor):
    from numbers_of_mine.units import UNIT

    return UNIT * factor
"""
PLUGINS = {
    "losses.py": LOSS,
    "helpers.py": HELPERS,
    "numbers_of_mine/__init__.py": "",
    "numbers_of_mine/units.py": "UNIT = 1.0\n",
    "sub/folder/deep.py": LOSS.replace("from helpers import scale", "scale = float"),
    "unused.py": "raise SystemExit('nobody asked for it')\n",
    "truth.py": "raise SystemExit('named by nobody: truth.csv is a table')\n",
}
USED = ["helpers.py", "losses.py", "numbers_of_mine/__init__.py", "numbers_of_mine/units.py"]
DEEP = "sub/folder/deep.py"

TRAIN = """\
name: tiny
data: {source: digits, batch_size: 128, validation: 0.2}
model: {name: mlp, hidden: [8]}
objective: cross_entropy
training: {epochs: 1}
cluster: {workers: 0}
tracking: {enabled: false}
"""
MINE = TRAIN.replace("cross_entropy", "losses.py:Mine")
PROCEDURE = """\
class Look:
    def __init__(self, objective: str = "", table: str = ""):
        self.objective = objective

    def run(self, context):
        return {"seen": 1.0}
"""

JOBS: dict[str, tuple[dict[str, str], list[str]]] = {
    "train": ({"job.yaml": TRAIN}, []),
    "train, plugin": ({"job.yaml": MINE}, USED),
    "train, dotted": ({"job.yaml": TRAIN.replace("cross_entropy", "losses.Mine")}, USED),
    "train, subfolder": ({"job.yaml": TRAIN.replace("cross_entropy", f"{DEEP}:Mine")}, [DEEP]),
    "train, dotted subfolder": (
        {"job.yaml": TRAIN.replace("cross_entropy", "sub.folder.deep.Mine")},
        [DEEP],
    ),
    "train, roundabout": (
        {"job.yaml": TRAIN.replace("cross_entropy", "./sub/../losses.py:Mine")},
        USED,
    ),
    "extends": (
        {
            "job.yaml": "extends: parents/first.yaml\nname: grown\nmodel: {hidden: [4]}\n",
            "parents/first.yaml": "extends: ../second.yaml\nobjective: losses.py:Mine\n",
            "second.yaml": TRAIN,
        },
        USED,
    ),
    "compare": (
        {
            "job.yaml": "kind: compare\nname: pair\nseeds: 1\nbase: other.yaml\nvariants:\n"
            "  baseline:\n  mine: {objective: {name: losses.py:Mine, factor: 2.0}}\n"
            "cluster: {workers: 0}\ntracking: {enabled: false}\n",
            "other.yaml": TRAIN,
        },
        USED,
    ),
    "compare, dotted paths": (
        {
            "job.yaml": "kind: compare\nname: pair\nseeds: [3]\nbase:\n  extends: other.yaml\n"
            f"  seed: 1\nvariants:\n  baseline: {{}}\n  deep: {{objective.name: '{DEEP}:Mine'}}\n"
            "cluster: {workers: 0}\ntracking: {enabled: false}\n",
            "other.yaml": TRAIN,
        },
        [DEEP],
    ),
    "federated": (
        {
            "job.yaml": "kind: federated\nname: many\ndata: {source: digits, batch_size: 32, "
            "validation: 0.2}\nmodel: {name: mlp, hidden: [8]}\nobjective: losses.py:Mine\n"
            "federation: {rounds: 1, clients: 4, cohort: 2}\ntracking: {enabled: false}\n"
        },
        USED,
    ),
    "procedure": (
        {
            "job.yaml": "kind: procedure\nname: looking\nprocedure:\n  name: looks.py:Look\n"
            f"  objective: {DEEP}:Mine\n  table: truth.csv\nruns:\n  trained:\n    data: "
            "{source: digits, batch_size: 128}\n    model: {name: mlp, hidden: [8]}\n"
            "    objective: losses.py:Mine\n    training: {epochs: 1}\n"
            "tracking: {enabled: false}\n",
            "looks.py": PROCEDURE,
        },
        [*USED, "looks.py", DEEP],
    ),
    "sweep": (
        {
            "job.yaml": "kind: sweep\nname: swept\nbase: other.yaml\nspace:\n  optimizer.lr: "
            "{loguniform: [0.001, 0.1]}\n  objective:\n    choice:\n      - cross_entropy\n"
            "      - {name: losses.py:Mine, factor: {uniform: [1.0, 2.0]}}\n"
            f"      - {DEEP}:Mine\n"
            "constraints: ['optimizer.lr <= 0.05']\ntrials: 2\ncluster: {workers: 1}\n"
            "tracking: {enabled: false}\n",
            "other.yaml": TRAIN.replace(
                "{epochs: 1}",
                "{epochs: 1, monitor: validation/loss}\noptimizer: {name: sgd, lr: 1}",
            ),
        },
        [*USED, DEEP],
    ),
}
"""What it is -> its files, and the plugin files that it needs, in any order."""


def write(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write files below a folder; its job file."""
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder / "job.yaml"


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Inside, a folder is the working directory."""
    before = Path.cwd()
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextmanager
def unchecked() -> Iterator[None]:
    """Inside, jobs are packed without a look at their data, which takes a while."""
    with mock.patch.object(packing, "check_here", return_value=Checked("tiny-00000000")):
        yield


def run_there(parcel: Parcel, folder: Path) -> str:
    """The name of the run that a parcel comes to, unpacked in a folder of its own."""
    parcel.write(folder)
    with working_in(folder):
        orders = Orders.read(Path.cwd())
        before = {name: os.environ.pop(name, None) for name in orders.variables}
        os.environ.update(orders.variables)
        try:
            return api.validate(JOB, overrides=orders.overrides).run
        finally:
            for name, value in before.items():
                del os.environ[name]
                if value is not None:
                    os.environ[name] = value
