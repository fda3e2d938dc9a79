"""Jobs whose strategies order, choose and weight samples, and the same in plain PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from driving import write_job
from torch import Tensor, nn

from trainwright.data.random import key, uniform
from trainwright.job import Job

PLUGINS = Path(__file__).parents[1] / "system" / "plugins" / "ordering.py"
SAMPLES, BATCH, STEPS, RATE, SEED = 44, 12, 10, 0.3, 5
PER_EPOCH = 4


def small_table() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(SAMPLES, 6, generator=generator)
    return x, (x @ torch.randn(6, generator=generator) + x[:, 0].square()).sign().clamp(min=0)


def small_network() -> nn.Module:
    from trainwright.models.mlp import MLP
    from trainwright.training.randomness import seed_all

    seed_all(SEED, "init")
    return MLP(6, 2, hidden=[7])


def write_ordered_job(folder: Path, engine: str, stage: int, world: str, **changes: Any) -> Job:
    import pyarrow as pa
    import pyarrow.parquet as pq

    x, target = small_table()
    columns = {f"x{i}": x[:, i].numpy() for i in range(6)}
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({**columns, "target": target.long().numpy()}), folder / "data.parquet")
    (folder / "ordering.py").write_bytes(PLUGINS.read_bytes())
    values = {
        "name": "ordered",
        "seed": SEED,
        "data.source": "data.parquet",
        "data.columns": {
            "x": {"type": "vector", "from": list(columns)},
            "target": {"type": "class", "classes": 2},
            **changes.pop("data.columns", {}),
        },
        "data.batch_size": BATCH,
        "model": {"name": "mlp", "hidden": [7]},
        "objective": "cross_entropy",
        "optimizer": {"name": "sgd", "lr": RATE, "momentum": 0.9},
        "training.steps": STEPS,
        "training.checkpoint_every": f"{STEPS} steps",
        "training.record_samples": True,
        "engine": engine,
        "cluster.workers": {"in process": 0, "one": 1, "two": 2}[world],
        "tracking.enabled": False,
        **changes,
    }
    if engine == "deepspeed":
        values["deepspeed"] = {"zero_optimization": {"stage": stage}}
    return Job.load(write_job(folder, values))


class Reference:
    """The loop in plain PyTorch; subclasses say what is trained on."""

    def __init__(self) -> None:
        self.x, self.target = small_table()
        self.target = self.target.long()
        self.model = small_network()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=RATE, momentum=0.9)
        self.losses: list[float] = []

    def each(self, rows: Tensor) -> Tensor:
        return nn.functional.cross_entropy(
            self.model(self.x[rows])["logits"], self.target[rows], reduction="none"
        )

    def epoch(self, epoch: int) -> None:
        from trainwright.data.order import epoch_order

        self.rows = torch.from_numpy(epoch_order(SAMPLES, SEED, epoch))

    def update(self, index: int, rows: Tensor, places: slice) -> Tensor:
        raise NotImplementedError

    def run(self) -> Reference:
        for index in range(STEPS):
            epoch, place = divmod(index, PER_EPOCH)
            if place == 0:
                self.index = index
                self.epoch(epoch)
            places = slice(place * BATCH, min((place + 1) * BATCH, SAMPLES))
            loss = self.update(index, self.rows[places], places)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.losses.append(loss.item())
        return self


class ByImportance(Reference):
    def __init__(self) -> None:
        super().__init__()
        self.last = torch.ones(SAMPLES)

    def epoch(self, epoch: int) -> None:
        chances = (self.last + 0.1) / (self.last + 0.1).sum()
        number = key(SEED, "importance", self.index) & (2**63 - 1)
        generator = torch.Generator().manual_seed(number)
        self.rows = torch.multinomial(chances, SAMPLES, replacement=True, generator=generator)
        self.weights = 1 / (SAMPLES * chances[self.rows])

    def update(self, index: int, rows: Tensor, places: slice) -> Tensor:
        losses = self.each(rows)
        for row, loss in zip(rows.tolist(), losses.tolist(), strict=True):
            self.last[row] = loss
        return (self.weights[places] * losses).mean()


class Weighted(Reference):
    def update(self, index: int, rows: Tensor, places: slice) -> Tensor:
        weights = 2 * uniform(key(SEED, "weight", index, "sample"), rows)
        return (weights * self.each(rows)).mean()


class Hard(Reference):
    """Chosen per micro-batch, so that the cuts matter; ``parts`` of each update."""

    def __init__(self, parts: int) -> None:
        super().__init__()
        self.parts = parts

    def update(self, index: int, rows: Tensor, places: slice) -> Tensor:
        losses = [self.each(torch.from_numpy(r)) for r in np.array_split(rows.numpy(), self.parts)]
        return torch.cat([part[part >= part.mean()] for part in losses]).mean()
