"""A loop of DeepSpeed written by hand, beside which ours is measured, and what both train."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import deepspeed
import torch
import torch.distributed as dist
from torch import Tensor, nn

import trainwright
from common.models import LEARNING_RATE, MAX_GRAD_NORM, MODELS, job_of, source_of
from trainwright.data.loading import load_splits
from trainwright.data.order import epoch_order
from trainwright.job.models import TrainJob
from trainwright.strategy import Context
from trainwright.training.assembly import assemble


@dataclass(frozen=True)
class Case:
    """What both sides train.

    Attributes:
        model: a key of ``MODELS``.
        stage: ZeRO stage.
        workers: number of processes.
        batch_size: samples per update over all processes.
        block: updates in one timed piece.
        blocks: timed pieces in all, warm-up included.
    """

    model: str
    stage: int
    workers: int
    batch_size: int
    block: int
    blocks: int

    @property
    def steps(self) -> int:
        """Updates in all."""
        return self.block * self.blocks

    @property
    def source(self) -> dict[str, Any]:
        """The data set, of a hundred updates in an epoch."""
        return source_of(self.model, self.batch_size)

    @property
    def units(self) -> int:
        """Samples, or tokens, of an update."""
        return self.batch_size * (MODELS[self.model].tokens or 1)

    @property
    def unit(self) -> str:
        """What ``units`` counts."""
        return "samples" if MODELS[self.model].tokens is None else "tokens"

    def job(self, side: str = "ours") -> TrainJob:
        """The job that our side runs, which takes its turns under that name."""
        return job_of(
            self.model,
            self.batch_size,
            self.steps,
            self.block,
            self.workers,
            side,
            deepspeed={"zero_optimization": {"stage": self.stage}},
        )


def untrained(case: Case, folder: Path) -> nn.Module:
    """The model that our side starts from, built whole as a script does at every stage."""
    job = case.job()
    splits = load_splits(job.data, base=folder, workers=case.workers, seed=job.seed)
    context = Context(
        seed=job.seed, rank=dist.get_rank(), world_size=case.workers, device=torch.device("cpu")
    )
    return assemble(job, folder, splits, context).module.model.model


def samples_of(case: Case) -> tuple[Tensor, Tensor]:
    """Inputs and targets of an epoch, in the order of the data set."""
    source = dict(case.source)
    columns = trainwright.create("datasets", source.pop("name"), **source).tensors
    return columns[MODELS[case.model].input], columns["target"]


def bare_config(model: nn.Module, stage: int) -> dict[str, Any]:
    """What one writes for DeepSpeed by hand, its buckets cut to the model's size as ours are."""
    numel = sum(parameter.numel() for parameter in model.parameters())
    bucket = -(-numel // 1024) * 1024
    zero: dict[str, Any] = {"stage": stage}
    if stage in (1, 2):
        zero.update(reduce_bucket_size=bucket, allgather_bucket_size=bucket)
    elif stage == 3:
        zero.update(reduce_bucket_size=bucket, stage3_prefetch_bucket_size=bucket)
    return {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": MAX_GRAD_NORM,
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
    }


class Bare:
    """What somebody would write by hand: the same model, samples, optimizer and configuration.

    It keeps its losses and does nothing with them. The order of samples is computed beforehand
    and costs this side nothing.
    """

    def __init__(self, case: Case, model: nn.Module) -> None:
        self.case = case
        self._losses: list[Tensor] = []
        self.engine, *_ = deepspeed.initialize(
            model=model,
            optimizer=torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE),
            config=bare_config(model, case.stage),
        )
        self.x, self.y = samples_of(case)
        self.loss_of = MODELS[case.model].loss
        per_epoch = len(self.y) // case.batch_size
        epochs = -(-case.steps // per_epoch)
        self.orders = [torch.from_numpy(epoch_order(len(self.y), 0, e)) for e in range(epochs)]

    def run(self, first: int, last: int) -> None:
        """Train from update ``first`` up to ``last``."""
        engine, size, steps = self.engine, self.case.batch_size, self.case.steps
        share = size // self.case.workers
        offset = dist.get_rank() * share
        per_epoch = len(self.y) // size
        engine.train()
        for step in range(first, last):
            rate = LEARNING_RATE * (1 + math.cos(math.pi * step / steps)) / 2
            for group in engine.optimizer.param_groups:
                group["lr"] = rate
            epoch, place = divmod(step, per_epoch)
            start = place * size + offset
            rows = self.orders[epoch][start : start + share]
            x, y = self.x.index_select(0, rows), self.y.index_select(0, rows)
            loss = self.loss_of(engine(x)["logits"], y)
            engine.backward(loss)
            engine.step()
            self._losses.append(loss.detach())

    def losses(self) -> list[float]:
        """The loss of every update, averaged over the workers (a collective)."""
        values = torch.stack(self._losses).double()
        dist.all_reduce(values)
        return [float(value) for value in values / self.case.workers]
