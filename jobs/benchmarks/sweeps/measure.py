"""A random sweep of trials of about a second against bare loops that do nothing but train.

Two actors on Ray train an MLP on the digits, each one trial after another. See README.md beside
this file.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from common.children import IMPORTS
from common.pairs import Side
from torch import nn

import trainwright
from trainwright.data.loading import load_splits
from trainwright.job.models import DataSpec
from trainwright.orchestration.environment import ENVIRONMENT
from trainwright.orchestration.processes import reuse_memory, worker_environment
from trainwright.orchestration.quiet import set_defaults
from trainwright.runs import list_runs
from trainwright.storage import Folder

ACTORS = 2
BATCH = 256
HIDDEN = [512, 512]
MOMENTUM = 0.9
SECONDS = 1.0
"""What a trial takes of a bare loop, about; the number of epochs is chosen so."""

GOAL = 0.85
"""Share of the ideal rate that a sweep has to reach."""

OVERHEAD_GOAL = 1.0
"""Seconds that a trial may take beside its training."""

DATA: dict[str, Any] = {"source": "digits", "batch_size": BATCH, "validation": 0.2}


@dataclass(frozen=True)
class SweepsResult:
    """What came of it.

    Attributes:
        trials: how many.
        epochs: of each.
        bare: seconds of one trial in a bare loop, two side by side.
        ideal_s: their sum, shared by the actors.
        own_s: the sum of what the sweep's trials took themselves, shared by the actors.
        whole_s: of the sweep, from the call to the result, with the start of Ray and of the actors
            and with the results.
        trials_s: from the beginning of the first trial to the end of the last.
        overhead_s: what each trial takes of an actor besides ``bare``.
    """

    trials: int
    epochs: int
    bare: Side
    ideal_s: float
    own_s: float
    whole_s: float
    trials_s: float
    overhead_s: float

    @property
    def whole(self) -> float:
        """Share of the ideal rate that the whole sweep reached."""
        return self.ideal_s / self.whole_s

    @property
    def running(self) -> float:
        """The same for the time between the first trial's beginning and the last one's end."""
        return self.ideal_s / self.trials_s


def job_of(trials: int, epochs: int, storage: str) -> dict[str, Any]:
    """The sweep."""
    return {
        "kind": "sweep",
        "name": "benchmark",
        "base": {
            "data": DATA,
            "model": {"name": "mlp", "hidden": HIDDEN},
            "objective": "cross_entropy",
            "optimizer": {"name": "sgd", "lr": 0.1, "momentum": MOMENTUM},
            "metrics": ["accuracy"],
            "training": {"epochs": epochs, "evaluate_every": f"{epochs} epochs"},
        },
        "space": {"optimizer.lr": {"loguniform": [1e-3, 0.1]}},
        "metric": "validation/accuracy",
        "trials": trials,
        "cluster": {"workers": ACTORS},
        "storage": storage,
        "tracking": {"enabled": False},
    }


class Bare:
    """A process that trains by a loop in plain PyTorch, with our workers' settings."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        reuse_memory()
        splits = load_splits(DataSpec.model_validate(DATA), base=Path.cwd(), workers=1, seed=0)
        assert splits.validation is not None
        self._train, self._validation = (
            (table.tensors["image"].flatten(1), table.tensors["target"])
            for table in (splits.train, splits.validation)
        )

    def train(self, rates: Sequence[float], epochs: int) -> list[float]:
        """Train once with each rate, and evaluate; the seconds of each."""
        return [self._seconds(rate, epochs) for rate in rates]

    def _seconds(self, rate: float, epochs: int) -> float:
        began = time.perf_counter()
        images, targets = self._train
        sizes = [images.shape[1], *HIDDEN]
        layers = [
            part
            for width, after in zip(sizes, HIDDEN, strict=False)
            for part in (nn.Linear(width, after), nn.ReLU())
        ]
        model = nn.Sequential(*layers, nn.Linear(HIDDEN[-1], int(targets.max()) + 1))
        optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=MOMENTUM)
        for _ in range(epochs):
            for chosen in torch.randperm(len(targets)).split(BATCH):
                loss = nn.functional.cross_entropy(model(images[chosen]), targets[chosen])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        with torch.no_grad():
            images, targets = self._validation
            (model(images).argmax(1) == targets).double().mean().item()
        return time.perf_counter() - began


def compare(trials: int, seconds: float = SECONDS) -> SweepsResult:
    """Measure both sides.

    Args:
        trials: how many; half of the bare ones are done before the sweep, half after it.
        seconds: that one is to take of a bare loop.
    """
    bare, epochs = _bare(trials - trials // 2, None, seconds)
    with tempfile.TemporaryDirectory() as storage:
        began = time.perf_counter()
        trainwright.run(job_of(trials, epochs, storage))
        whole = time.perf_counter() - began
        runs = [record for _, record in list_runs(Folder(storage)) if record.parent is not None]
    bare += _bare(trials // 2, epochs, seconds)[0]
    span = max(run.finished or 0.0 for run in runs) - min(run.started for run in runs)
    return SweepsResult(
        trials=trials,
        epochs=epochs,
        bare=Side.of(bare),
        ideal_s=sum(bare) / ACTORS,
        own_s=sum(run.seconds for run in runs) / ACTORS,
        whole_s=whole,
        trials_s=span,
        overhead_s=(ACTORS * span - sum(bare)) / trials,
    )


def _bare(trials: int, epochs: int | None, seconds: float) -> tuple[list[float], int]:
    """Seconds of bare trials on as many actors as the sweep has, and the epochs of each."""
    set_defaults(ENVIRONMENT)
    import ray

    ray.init(address="local", num_cpus=ACTORS, include_dashboard=False, log_to_driver=False)
    try:
        environment: Mapping[str, str] = {**worker_environment(1.0, False), "OMP_NUM_THREADS": "1"}
        options = {"runtime_env": {"env_vars": {**environment, **IMPORTS}}}
        actors = [ray.remote(num_cpus=1)(Bare).options(**options).remote() for _ in range(ACTORS)]
        rates = [0.01] * 3
        timed = ray.get([actor.train.remote(rates, epochs or 10) for actor in actors])
        if epochs is None:
            one = min(second for side in timed for second in side) / 10
            epochs = max(1, round(seconds / one))
        shares = [[0.01] * len(range(place, trials, ACTORS)) for place in range(ACTORS)]
        asked = [
            actor.train.remote(share, epochs) for actor, share in zip(actors, shares, strict=True)
        ]
        return [second for side in ray.get(asked) for second in side], epochs
    finally:
        ray.shutdown()
