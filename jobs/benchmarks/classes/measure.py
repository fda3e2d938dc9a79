"""Output layer and loss at 1,000 to 793,471 classes: seconds per step of each side.

The sides of a case, a number of classes and of features, live in one process and work in turn.
See README.md beside this file.
"""

from __future__ import annotations

import multiprocessing as mp
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from common.children import environment_of
from common.pairs import Ratio, Side, ratio_of
from torch import nn

from classes.batches import batches
from classes.sides import (
    Step,
    adaptive,
    full_z_loss,
    hierarchical,
    log_softmax,
    spherical,
    touching,
)
from trainwright.orchestration.processes import worker_environment
from trainwright_strategies.layers.spherical_head import SphericalHead

GOAL = 1 / 40
"""What our time shall not exceed, in times of the log-softmax at the most classes."""

FLAT = 1.2
"""What our time at any number of classes shall not exceed, in times of that at the fewest."""

BATCH = 128
CLASSES = (1_000, 10_000, 100_000, 793_471)
WIDTHS = (256, 512)
POOL = 32
"""Different batches."""

SLOW = ("log_softmax", "full_z_loss")
MOST_OUTPUTS = 5_000_000
"""Outputs of a slow side in a turn, unless a single step has more."""

BLOCK = 8
"""Steps of every other side in a turn."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class LayerResult:
    """What came of one case.

    Attributes:
        classes: D.
        width: d.
        times: seconds per step, by side.
        ratios: our seconds over those of each other side.
        floor: our seconds without those for reading and writing the rows of the targets alone.
    """

    classes: int
    width: int
    times: dict[str, Side]
    ratios: dict[str, Ratio]
    floor: float


def in_a_process(function: Callable[..., Result], *arguments: object) -> Result:
    """Call a function in a fresh process with our workers' environment, and give its answer.

    Raises:
        RuntimeError: it failed.
    """
    context = mp.get_context("spawn")
    line, end = context.Pipe()
    child = context.Process(target=_answer, args=(end, function, arguments), daemon=True)
    with environment_of(worker_environment(1, uses_gpu=False)):
        child.start()
    end.close()
    try:
        result: Result = line.recv()
    except EOFError:
        child.join()
        name, status = function.__name__, child.exitcode
        raise RuntimeError(f"the process of {name} ended with status {status}") from None
    finally:
        child.terminate()
        child.join()
    return result


def _answer(end: Any, function: Callable[..., Any], arguments: Sequence[object]) -> None:
    torch.set_num_threads(1)
    end.send(function(*arguments))


def compare(num_classes: int, width: int, pairs: int) -> LayerResult:
    """Time one case in a fresh process."""
    return in_a_process(measure, num_classes, width, pairs)


def measure(num_classes: int, width: int, pairs: int) -> LayerResult:
    """Time one case in this process; ``pairs`` turns of each side count, one comes before them."""
    torch.manual_seed(0)
    sides = made(num_classes, width)
    pool = batches(POOL, BATCH, width, num_classes)
    blocks = dict.fromkeys(sides, BLOCK)
    blocks.update(dict.fromkeys(SLOW, min(max(MOST_OUTPUTS // (BATCH * num_classes), 1), BLOCK)))
    turns: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(-1, pairs):
        for name in turned(list(sides), turn):
            began = time.perf_counter()
            for index in range(blocks[name]):
                features, target = pool[(turn * BLOCK + index) % POOL]
                sides[name](features.clone().requires_grad_(), target)
            if turn >= 0:
                turns[name].append((time.perf_counter() - began) / blocks[name])
    times = {name: Side.of(seconds) for name, seconds in turns.items()}
    others = [name for name in sides if name not in ("ours", "rows")]
    ratios = {name: ratio_of(turns["ours"], turns[name]) for name in others}
    floor = float(np.median(np.subtract(turns["ours"], turns["rows"])))
    return LayerResult(num_classes, width, times, ratios, floor)


def made(num_classes: int, width: int) -> Mapping[str, Step]:
    """All sides; the two slow ones train the same layer, lest there are two of it in memory."""
    layer = nn.Linear(width, num_classes)
    head = SphericalHead(layer)
    return {
        "log_softmax": log_softmax(layer),
        "full_z_loss": full_z_loss(layer),
        "adaptive": adaptive(width, num_classes),
        "hierarchical": hierarchical(width, num_classes),
        "ours": spherical(head),
        "rows": touching(head),
    }


def turned(names: list[str], turn: int) -> list[str]:
    """The order of a turn: each name comes first, and before and after each other one."""
    first = turn % len(names)
    order = [*names[first:], *names[:first]]
    return order if turn % 2 == 0 else order[::-1]


def slope(seconds: Mapping[int, float]) -> float:
    """The exponent of D in seconds, of a straight line through both logarithms."""
    return float(np.polyfit(np.log(list(seconds)), np.log(list(seconds.values())), 1)[0])
