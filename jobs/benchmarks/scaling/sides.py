"""The two sides of the scaling benchmark in a process: a worker of ours, and a bare loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import deepspeed
import torch
import torch.distributed as dist
from common.turns import Worker
from torch import Tensor, nn

import trainwright
from scaling.cases import LEARNING_RATE, MAX_GRAD_NORM, Case
from scaling.subjects import SUBJECTS
from trainwright.data.loading import load_splits
from trainwright.data.order import epoch_order
from trainwright.strategy import Context
from trainwright.training.assembly import assemble


def untrained(case: Case, folder: Path) -> nn.Module:
    """The model that our side starts from."""
    job = case.job()
    splits = load_splits(job.data, base=folder, workers=case.workers, seed=job.seed)
    context = Context(seed=job.seed, rank=_rank(), world_size=case.workers)
    return assemble(job, folder, splits, context).module.model.model


def samples_of(case: Case) -> tuple[Tensor, Tensor]:
    """Inputs and targets of a case."""
    source, subject = dict(case.source), SUBJECTS[case.model]
    columns = trainwright.create("datasets", source.pop("name"), **source).tensors
    return columns[subject.input], columns["target"]


def loss_of(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy, of classes or of every next token."""
    return nn.functional.cross_entropy(model(x)["logits"].flatten(0, -2), y.flatten())


def bare_config(model: nn.Module, stage: int) -> dict[str, Any]:
    """What one writes for DeepSpeed by hand, its buckets cut to the model's size as ours are."""
    numel = sum(parameter.numel() for parameter in model.parameters())
    bucket = -(-numel // 1024) * 1024
    zero: dict[str, Any] = {"stage": stage}
    if stage > 0:
        zero.update(reduce_bucket_size=bucket, allgather_bucket_size=bucket)
    return {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": MAX_GRAD_NORM,
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
    }


class Bare:
    """Twenty lines of DeepSpeed: model, samples, optimizer and configuration of ours.

    It keeps its losses, and has the order of its samples computed beforehand.

    Args:
        case: what to train.
        model: untrained.
    """

    def __init__(self, case: Case, model: nn.Module) -> None:
        self._case = case
        self._engine, *_ = deepspeed.initialize(
            model=model,
            optimizer=torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE),
            config=bare_config(model, case.stage),
        )
        self._x, self._y = samples_of(case)
        epochs = -(-case.turns * case.block // (len(self._y) // case.batch_size))
        self._orders = [torch.from_numpy(epoch_order(len(self._y), 0, e)) for e in range(epochs)]
        self._step = 0
        self._losses: list[Tensor] = []

    def turn(self) -> None:
        """Train for one turn."""
        engine, size = self._engine, self._case.batch_size
        share = size // self._case.workers
        per_epoch = len(self._y) // size
        engine.train()
        for _ in range(self._case.block):
            epoch, place = divmod(self._step, per_epoch)
            start = place * size + _rank() * share
            rows = self._orders[epoch][start : start + share]
            loss = loss_of(engine, self._x.index_select(0, rows), self._y.index_select(0, rows))
            engine.backward(loss)
            engine.step()
            self._losses.append(loss.detach())
            self._step += 1

    def losses(self) -> list[float]:
        """The loss of every update, averaged over the workers (a collective)."""
        values = torch.stack(self._losses).double()
        dist.all_reduce(values)
        return [float(value) for value in values / self._case.workers]


class Both:
    """Ours and the bare loop of one case, in this process; all workers make the same calls.

    Args:
        case: what to train.
        folder: where our run goes.
    """

    def __init__(self, case: Case, folder: Path) -> None:
        self.bare = Bare(case, untrained(case, folder))
        self.ours = Worker(case.job(), folder / str(case), _rank(), side=str(case))

    def close(self) -> float:
        """End ours; the largest difference between the losses of an update, 0 but on worker 0."""
        self.ours.close()
        bare = self.bare.losses()
        if _rank() > 0:
            return 0.0
        pairs = zip(self.ours.losses(), bare, strict=True)
        return max(abs(mine - other) for mine, other in pairs)


def _rank() -> int:
    return dist.get_rank()
