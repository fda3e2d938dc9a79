"""Our side of the loop benchmark, a worker of Trainwright, and the model as a script makes it."""

from __future__ import annotations

from pathlib import Path

import torch.distributed as dist
from common.deepspeed_loop import Case
from common.models import MODELS
from common.turns import Worker
from torch import nn

import trainwright


def plain_model(case: Case) -> nn.Module:
    """The model as a script makes it, with weights of its own."""
    options = {**MODELS[case.model].model, **MODELS[case.model].derived}
    made: nn.Module = trainwright.create("models", options.pop("name"), **options)
    return made


class Ours(Worker):
    """Our side of a case.

    Args:
        case: what to train.
        folder: where the run goes.
    """

    def __init__(self, case: Case, folder: Path) -> None:
        super().__init__(case.job(), folder, dist.get_rank())

    def run(self, first: int, last: int) -> None:
        """Train for one turn, from update ``first`` up to ``last``."""
        self.turn()
