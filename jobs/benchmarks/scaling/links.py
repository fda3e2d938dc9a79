"""What the parts of an update cost: computing, exchanging bytes, copying them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

RESAMPLES = 1000
FLOAT = 4


def timed_steps(model: str, count: int, folder: Path) -> dict[str, list[float]]:
    """Seconds of forward, backward and optimizer of updates in plain PyTorch, with one worker."""
    from common.deepspeed_loop import samples_of, untrained
    from common.models import LEARNING_RATE, MODELS

    from scaling.cases import Case

    case, loss_of = Case(model, 0, 1, "weak", 1).training, MODELS[model].loss
    net = untrained(case, folder)
    x, y = (column[: case.batch_size] for column in samples_of(case))
    optimizer = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE)
    found: dict[str, list[float]] = {"forward": [], "backward": [], "optimizer": []}
    for _ in range(count + 3):
        marks = [time.perf_counter()]
        loss = loss_of(net(x)["logits"], y)
        marks.append(time.perf_counter())
        loss.backward()
        marks.append(time.perf_counter())
        optimizer.step()
        optimizer.zero_grad()
        marks.append(time.perf_counter())
        for name, seconds in zip(found, np.diff(marks), strict=True):
            found[name].append(float(seconds))
    parameters = sum(p.numel() for p in net.parameters())
    return {**{name: times[3:] for name, times in found.items()}, "parameters": [parameters]}


def timed_collectives(sizes: list[int], repeats: int) -> dict[str, list[list[float]]]:
    """Seconds of each collective, for each size of the whole message in bytes.

    With one worker: of a copy in memory.
    """
    world = dist.get_world_size()
    ways: dict[str, Callable[[Tensor], object]] = {
        "all_reduce": dist.all_reduce,
        "reduce_scatter": lambda x: dist.reduce_scatter_tensor(x[: len(x) // world].clone(), x),
        "all_gather": lambda x: dist.all_gather_into_tensor(
            torch.empty_like(x), x[: len(x) // world].clone()
        ),
    }
    if world == 1:
        target = torch.zeros(max(sizes) // FLOAT)
        ways = {"copy": lambda x: target[: len(x)].copy_(x)}
    return {
        name: [_timed(way, torch.ones(size // FLOAT), repeats) for size in sizes]
        for name, way in ways.items()
    }


def _timed(way: Callable[[Tensor], object], message: Tensor, repeats: int) -> list[float]:
    way(message)
    seconds = []
    for _ in range(repeats):
        dist.barrier()
        began = time.perf_counter()
        way(message)
        seconds.append(time.perf_counter() - began)
    return seconds


@dataclass(frozen=True)
class Line:
    """Seconds as a straight line ``fixed + each * x``, with 95 % intervals.

    Attributes:
        fixed: seconds at x = 0.
        fixed_low: lower end of the interval.
        fixed_high: upper end.
        each: seconds for one more of x.
        each_low: lower end.
        each_high: upper end.
    """

    fixed: float
    fixed_low: float
    fixed_high: float
    each: float
    each_low: float
    each_high: float

    def __call__(self, x: float) -> float:
        """Seconds at ``x``."""
        return self.fixed + self.each * x


def line_through(xs: list[float], times: list[list[float]]) -> Line:
    """The line of least squares through the medians at each x, relative to each.

    Relative, for the times reach over orders of magnitude and all are to be met alike. Neither
    number is below 0. Intervals: bootstrap over the repetitions at each x.

    Args:
        xs: messages' sizes, or numbers of workers.
        times: seconds measured at each.
    """
    generator = np.random.default_rng(0)

    def fitted(columns: list[np.ndarray]) -> tuple[float, float]:
        y = np.array([np.median(column) for column in columns])
        x = np.asarray(xs, dtype=float)
        design = np.stack([1 / y, x / y], axis=1)
        scale = np.maximum(np.abs(design).max(axis=0), 1e-300)
        fixed, each = np.linalg.lstsq(design / scale, np.ones_like(y), rcond=None)[0] / scale
        if fixed < 0:
            return 0.0, float(np.median(y[x > 0] / x[x > 0]))
        if each < 0:
            return float(np.median(y)), 0.0
        return float(fixed), float(each)

    arrays = [np.asarray(column) for column in times]
    fixed, each = fitted(arrays)
    samples = np.array(
        [
            fitted([generator.choice(column, len(column)) for column in arrays])
            for _ in range(RESAMPLES)
        ]
    )
    (fixed_low, each_low), (fixed_high, each_high) = np.quantile(samples, [0.025, 0.975], axis=0)
    return Line(fixed, float(fixed_low), float(fixed_high), each, float(each_low), float(each_high))
