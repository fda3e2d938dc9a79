"""What is trained on how many workers, for the scaling benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from scaling.subjects import SUBJECTS
from trainwright.job.models import TrainJob

LEARNING_RATE = 1e-3
MAX_GRAD_NORM = 1.0
STAGES = (0, 2)

Way = Literal["weak", "strong"]
"""Weak: each worker has as many samples whatever their number. Strong: all share those of one."""


@dataclass(frozen=True)
class Case:
    """One training, by us and by a bare loop.

    Attributes:
        model: a key of ``SUBJECTS``.
        stage: ZeRO stage.
        workers: number of processes.
        way: how the samples of an update depend on it.
        turns: turns in all, warm-up included.
    """

    model: str
    stage: int
    workers: int
    way: Way
    turns: int

    @property
    def batch_size(self) -> int:
        """Samples of an update, over all workers."""
        one = SUBJECTS[self.model].batch_size
        return one * self.workers if self.way == "weak" else one

    @property
    def block(self) -> int:
        """Updates in a turn."""
        return SUBJECTS[self.model].block

    @property
    def source(self) -> dict[str, Any]:
        """The data set, of fifty updates in an epoch."""
        return {**SUBJECTS[self.model].source, "num_samples": 50 * self.batch_size}

    def job(self) -> TrainJob:
        """What our side runs."""
        steps = self.turns * self.block
        turns = {"name": "common.turns:Turns", "block": self.block, "side": str(self)}
        return TrainJob.model_validate(
            {
                "name": f"scaling-{self.model}",
                "data": {"source": self.source, "batch_size": self.batch_size},
                "model": SUBJECTS[self.model].model,
                "objective": "causal_lm" if self.model == "gpt" else "cross_entropy",
                "strategies": [turns],
                "optimizer": {"name": "adamw", "lr": LEARNING_RATE},
                "training": {
                    "steps": steps,
                    "checkpoint_every": f"{steps} steps",
                    "max_grad_norm": MAX_GRAD_NORM,
                },
                "deepspeed": {"zero_optimization": {"stage": self.stage}},
                "cluster": {"workers": self.workers},
            }
        )

    def __str__(self) -> str:
        return f"{self.model}-{self.stage}-{self.workers}-{self.way}"


def numbers_of_workers(cores: int) -> list[int]:
    """1, 2, 4... up to the cores, and one number beyond them."""
    numbers = [1]
    while numbers[-1] <= cores:
        numbers.append(2 * numbers[-1])
    return numbers


def cases_of(model: str, stage: int, numbers: list[int], turns: int) -> list[Case]:
    """All ways to train a model at a stage; with one worker both ways are the same."""
    ways: tuple[Way, ...] = ("weak", "strong")
    return [
        Case(model, stage, workers, way, turns)
        for workers in numbers
        for way in (ways[:1] if workers == 1 else ways)
    ]
