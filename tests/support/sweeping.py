"""Sweeps for the system tests, and what they left."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

from trainwright.runs import RunRecord, list_runs
from trainwright.search.trials import Trial
from trainwright.storage import Folder

TROUBLE = Path(__file__).parents[1] / "system" / "plugins" / "trouble.py"

BASE: dict[str, Any] = {
    "data": {"source": "digits", "batch_size": 128, "validation": 0.3},
    "model": {"name": "mlp", "hidden": [16]},
    "objective": "cross_entropy",
    "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9},
    "training": {"epochs": 4},
    "metrics": ["accuracy"],
}

SWEEP: dict[str, Any] = {
    "kind": "sweep",
    "name": "pool",
    "base": BASE,
    "space": {"optimizer.lr": {"loguniform": [0.001, 1.0]}},
    "metric": "validation/accuracy",
    "trials": 6,
    "cluster": {"workers": 2, "cpus_per_worker": 0.5},
    "tracking": {"enabled": False},
}

ASHA = {"name": "asha", "grace": "1 epoch", "reduction": 2}


def troubled(folder: Path, kinds: list[str], **changes: Any) -> dict[str, Any]:
    """A sweep with a trial for each kind of trouble."""
    (folder / "trouble.py").write_bytes(TROUBLE.read_bytes())
    strategy = {"name": "trouble.py:Trouble", "kind": "none", "folder": str(folder)}
    space = {"strategies.0.kind": {"grid": kinds}}
    values = {**SWEEP, "base": {**BASE, "strategies": [strategy]}, "space": space}
    del values["trials"]
    return {**values, "algorithm": "grid", **changes}


def attempts(folder: Path) -> Counter[str]:
    """How often a trial of each kind was begun."""
    return Counter(kind for kind, _ in begun(folder))


def begun(folder: Path) -> list[tuple[str, int]]:
    """Kind and process of each attempt; this process only tries jobs out before the sweep."""
    file = folder / "attempts"
    lines = file.read_text().splitlines() if file.exists() else []
    found = [(kind, int(pid)) for kind, pid in (line.split() for line in lines)]
    return [one for one in found if one[1] != os.getpid()]


def sweep_in(storage: Folder) -> Folder:
    """The folder of the newest sweep."""
    return next(folder for folder, record in list_runs(storage) if record.parent is None)


def trials_in(storage: Folder) -> list[Trial]:
    """Its trials, as they lie in storage."""
    folder = sweep_in(storage)
    names = [name for name in (folder / "trials").names() if name.endswith(".json")]
    return [Trial(**{**(folder / "trials").read_json(name), "curve": []}) for name in names]


def children(storage: Folder) -> dict[str, RunRecord]:
    """The records of all runs of trials."""
    return {r.name: r for _, r in list_runs(storage) if r.parent is not None}
