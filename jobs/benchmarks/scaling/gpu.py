"""The small GPT on one GPU: our worker with both engines against a bare compiled loop."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from common.benchmark import Benchmark
from common.children import environment_of
from common.pairs import Ratio, Side, ratio_of
from common.turns import Worker
from common.words import ratio, side, table
from torch import Tensor, nn

from scaling.flops import Shape, peak_of, utilisation
from scaling.tokens import random_tokens
from trainwright.data.loading import load_splits
from trainwright.data.order import epoch_order
from trainwright.job.models import TrainJob
from trainwright.strategy import Context
from trainwright.training.assembly import assemble

LARGE = Shape(dim=768, depth=12, heads=12, length=1024, vocabulary=50304, samples=16)
"""124 million weights, as GPT-2."""

LEARNING_RATE = 3e-4
MAX_GRAD_NORM = 1.0
WARM_UP = 2
BLOCK = 4
UPDATES_PER_EPOCH = 32
TOLERANCE = 0.05
"""Of losses: our two engines keep weights and sums in other number formats."""


@dataclass(frozen=True)
class Work:
    """What all sides train.

    Attributes:
        shape: of the model.
        turns: in all, warm-up included.
        device: where.
        precision: ``bf16`` or ``fp32``.
        compiled: whether the model is compiled, on all sides.
    """

    shape: Shape
    turns: int
    device: torch.device
    precision: str = "bf16"
    compiled: bool = True

    def job(self, engine: str) -> TrainJob:
        """What our side with an engine runs."""
        shape, steps = self.shape, self.turns * BLOCK
        turns = {"name": "common.turns:Turns", "block": BLOCK, "side": engine}
        source = {
            "name": "scaling.tokens:random_tokens",
            "num_samples": UPDATES_PER_EPOCH * shape.samples,
            "length": shape.length,
            "vocabulary": shape.vocabulary,
        }
        return TrainJob.model_validate(
            {
                "name": f"gpu-{engine}",
                "data": {"source": source, "batch_size": shape.samples},
                "model": {
                    "name": "gpt",
                    **{"dim": shape.dim, "depth": shape.depth, "heads": shape.heads},
                },
                "objective": "causal_lm",
                "strategies": [turns],
                "optimizer": {"name": "adamw", "lr": LEARNING_RATE},
                "training": {
                    "steps": steps,
                    "checkpoint_every": f"{steps} steps",
                    "precision": self.precision,
                    "max_grad_norm": MAX_GRAD_NORM,
                    "compile": self.compiled,
                },
                "engine": engine,
                "cluster": {"workers": 0, "gpus_per_worker": float(self.device.type == "cuda")},
            }
        )


class Bare:
    """A loop as written by hand: autocast, a compiled model, AdamW."""

    def __init__(self, work: Work, model: nn.Module) -> None:
        self._work = work
        self._model = model.to(work.device)
        self._forward: Callable[..., Any] = (
            torch.compile(self._model) if work.compiled else self._model
        )
        fused = work.device.type == "cuda"
        self._optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, fused=fused)
        shape = work.shape
        rows = UPDATES_PER_EPOCH * shape.samples
        columns = random_tokens(rows, shape.length, shape.vocabulary).tensors
        self._x, self._y = (columns[name].to(work.device) for name in ("tokens", "target"))
        epochs = -(-work.turns * BLOCK // UPDATES_PER_EPOCH)
        orders = [torch.from_numpy(epoch_order(rows, 0, epoch)) for epoch in range(epochs)]
        self._rows = torch.cat(orders).to(work.device).split(shape.samples)
        self._losses: list[Tensor] = []

    def turn(self) -> None:
        """A block of updates."""
        bf16 = self._work.precision == "bf16"
        for _ in range(BLOCK):
            rows = self._rows[len(self._losses)]
            with torch.autocast(self._work.device.type, torch.bfloat16, enabled=bf16):
                logits = self._forward(self._x[rows])["logits"]
            loss = nn.functional.cross_entropy(
                logits.float().flatten(0, 1), self._y[rows].flatten()
            )
            loss.backward()
            nn.utils.clip_grad_norm_(self._model.parameters(), MAX_GRAD_NORM)
            self._optimizer.step()
            self._optimizer.zero_grad()
            self._losses.append(loss.detach())

    def losses(self) -> list[float]:
        """Of every update."""
        return torch.stack(self._losses).tolist()


@dataclass(frozen=True)
class GpuSide:
    """One side.

    Attributes:
        name: of it.
        seconds: of an update.
        tokens_per_second: the median.
        utilisation: share of the device's peak; None where that is not known.
        against_bare: seconds over those of the bare loop.
        worst_loss_difference: to it, over all updates.
    """

    name: str
    seconds: Side
    tokens_per_second: float
    utilisation: float | None
    against_bare: Ratio
    worst_loss_difference: float


def measure(work: Work) -> list[GpuSide]:
    """Let all sides work in turn.

    Raises:
        AssertionError: their losses differ.
    """
    alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
    with tempfile.TemporaryDirectory() as name, environment_of(alone):
        folder = Path(name)
        bare = Bare(work, _untrained(work, folder))
        ours = {
            engine: Worker(work.job(engine), folder / engine, side=engine)
            for engine in ("local", "deepspeed")
        }
        sides: dict[str, Callable[[], None]] = {
            "bare loop": bare.turn,
            **{engine: worker.turn for engine, worker in ours.items()},
        }
        times = _timed(sides, work)
        for worker in ours.values():
            worker.close()
        losses = {"bare loop": bare.losses(), **{e: w.losses() for e, w in ours.items()}}
    return [_side(side, times, losses, work) for side in sides]


def _untrained(work: Work, folder: Path) -> nn.Module:
    job = work.job("local")
    splits = load_splits(job.data, base=folder, workers=0, seed=job.seed)
    plain = job.model_copy(update={"strategies": job.strategies[:1]})
    return assemble(plain, folder, splits, Context(seed=job.seed)).module.model.model


def _timed(sides: Mapping[str, Callable[[], None]], work: Work) -> dict[str, list[float]]:
    names = list(sides)
    found: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(work.turns):
        first = turn % len(names)
        for name in [*names[first:], *names[:first]]:
            found[name].append(_seconds(sides[name], work.device) / BLOCK)
    return {name: seconds[WARM_UP:] for name, seconds in found.items()}


def _seconds(function: Callable[[], None], device: torch.device) -> float:
    """Of the device, where it has events to tell; else of the clock."""
    if device.type != "cuda":
        began = time.perf_counter()
        function()
        return time.perf_counter() - began
    torch.cuda.synchronize(device)
    began_at, ended_at = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    began_at.record()
    function()
    ended_at.record()
    torch.cuda.synchronize(device)
    return float(began_at.elapsed_time(ended_at)) / 1e3


def _side(
    name: str, times: Mapping[str, list[float]], losses: Mapping[str, list[float]], work: Work
) -> GpuSide:
    pairs = zip(losses[name], losses["bare loop"], strict=True)
    worst = max(abs(mine - bare) for mine, bare in pairs)
    assert worst <= TOLERANCE, f"{name}: the losses differ by {worst:.2e}"
    seconds = Side.of(times[name])
    on_gpu = work.device.type == "cuda"
    peak = peak_of(torch.cuda.get_device_name(work.device)) if on_gpu else None
    return GpuSide(
        name=name,
        seconds=seconds,
        tokens_per_second=work.shape.tokens / seconds.median,
        utilisation=None if peak is None else utilisation(work.shape, seconds.median, peak),
        against_bare=ratio_of(times[name], times["bare loop"]),
        worst_loss_difference=worst,
    )


def run(turns: int, quick: bool) -> dict[str, Any]:
    """All sides, where there is a GPU."""
    if not torch.cuda.is_available():
        print("gpu: there is no CUDA device here, nothing is measured", file=sys.stderr)
        return {"device": None, "sides": []}
    device = torch.device("cuda", 0)
    os.environ.setdefault("DS_ACCELERATOR", "cuda")
    sides = measure(Work(LARGE, turns + WARM_UP, device))
    return {
        "device": torch.cuda.get_device_name(device),
        "shape": asdict(LARGE),
        "sides": [asdict(found) for found in sides],
    }


def tables(results: Mapping[str, Any]) -> list[str]:
    """One line for each side."""
    if results["device"] is None:
        return ["There is no CUDA device on this machine: nothing was measured."]
    shape = Shape(**results["shape"])
    lines = table(
        ("side", "ms per update", "samples/s", "tokens/s", "of the peak", "ratio to the bare loop"),
        [
            (
                row["name"],
                side(row["seconds"], 1e3),
                f"{shape.samples / row['seconds']['median']:.1f}",
                f"{row['tokens_per_second']:,.0f}",
                "-" if row["utilisation"] is None else f"{row['utilisation']:.1%}",
                ratio(row["against_bare"]),
            )
            for row in results["sides"]
        ],
    )
    return [
        f"{results['device']}, GPT of {shape.parameters / 1e6:.0f} million weights, bf16, "
        f"compiled; {shape.samples} sequences of {shape.length} tokens, "
        f"{shape.flops / 1e12:.1f} Tflop for an update.",
        "",
        *lines,
    ]


BENCHMARK = Benchmark("gpu", 20, 3, run, tables)
