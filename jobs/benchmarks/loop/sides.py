"""The two sides of the loop benchmark: a worker of Trainwright, and a loop written by hand."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import deepspeed
import torch
import torch.distributed as dist
from common.turns import Worker
from torch import Tensor, nn

import trainwright
from trainwright.data.loading import load_splits
from trainwright.data.order import epoch_order
from trainwright.job.models import TrainJob
from trainwright.strategy import Context
from trainwright.training.assembly import assemble

LEARNING_RATE = 1e-3
MAX_GRAD_NORM = 1.0

MODELS: dict[str, dict[str, Any]] = {
    "convnet": {
        "model": {"name": "convnet", "width": 16},
        "source": {"name": "synthetic_images", "image_size": 32, "channels": 3},
        "input": "image",
    },
    "mlp": {
        "model": {"name": "mlp", "hidden": [512, 512]},
        "source": {"name": "synthetic_classification", "num_features": 64, "num_classes": 10},
        "input": "features",
    },
}


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
        return {**MODELS[self.model]["source"], "num_samples": 100 * self.batch_size}

    def job(self) -> TrainJob:
        """The job that our side runs."""
        return TrainJob.model_validate(
            {
                "name": f"benchmark-{self.model}",
                "data": {"source": self.source, "batch_size": self.batch_size},
                "model": MODELS[self.model]["model"],
                "objective": "cross_entropy",
                "strategies": [{"name": "common.turns:Turns", "block": self.block}],
                "optimizer": {"name": "adamw", "lr": LEARNING_RATE},
                "schedule": "cosine",
                "training": {
                    "steps": self.steps,
                    "checkpoint_every": f"{self.steps} steps",
                    "max_grad_norm": MAX_GRAD_NORM,
                },
                "deepspeed": {"zero_optimization": {"stage": self.stage}},
                "cluster": {"workers": self.workers},
            }
        )


def untrained(case: Case, folder: Path) -> nn.Module:
    """The model that our side starts from, built whole as a script does at every stage."""
    job = case.job()
    splits = load_splits(job.data, base=folder, workers=case.workers, seed=job.seed)
    context = Context(
        seed=job.seed, rank=dist.get_rank(), world_size=case.workers, device=torch.device("cpu")
    )
    return assemble(job, folder, splits, context).module.model.model


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
        name, options = case.source["name"], {k: v for k, v in case.source.items() if k != "name"}
        columns = trainwright.create("datasets", name, **options).tensors
        self.x, self.y = columns[MODELS[case.model]["input"]], columns["target"]
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
            loss = nn.functional.cross_entropy(engine(x)["logits"], y)
            engine.backward(loss)
            engine.step()
            self._losses.append(loss.detach())

    def losses(self) -> list[float]:
        """The loss of every update, averaged over the workers (a collective)."""
        values = torch.stack(self._losses).double()
        dist.all_reduce(values)
        return [float(value) for value in values / self.case.workers]
