"""What is trained on how many workers, for the scaling benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from common.deepspeed_loop import Case as Training
from common.models import MODELS

STAGES = (0, 2)
BLOCKS = {"convnet": 4, "gpt": 2, "mlp": 16}
"""Updates in a turn."""

Way = Literal["weak", "strong"]
"""Weak: each worker has as many samples whatever their number. Strong: all share those of one."""


@dataclass(frozen=True)
class Case:
    """One training, by us and by a bare loop.

    Attributes:
        model: a key of ``MODELS``.
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
        one = MODELS[self.model].batch_size
        return one * self.workers if self.way == "weak" else one

    @property
    def training(self) -> Training:
        """What both sides train."""
        block = BLOCKS[self.model]
        return Training(self.model, self.stage, self.workers, self.batch_size, block, self.turns)

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
