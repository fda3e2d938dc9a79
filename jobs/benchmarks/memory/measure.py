"""A training step with and without the memory settings of Trainwright's workers.

Two processes train the same small convolutional network in plain PyTorch, in turn: one is started
with the environment that every worker gets, one without. See README.md beside this file.
"""

from __future__ import annotations

import multiprocessing as mp
import resource
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection

import torch
from common.children import environment_of
from common.pairs import Ratio, Side, interleave, ratio_of
from torch import nn

import trainwright
from trainwright.orchestration.processes import worker_environment

GOAL = 1.0
SAMPLES = (64, 256)
"""Samples per update of each case."""

UPDATES = 8
WARM_UP = 2


@dataclass(frozen=True)
class MemoryResult:
    """What came of one case.

    Attributes:
        samples: per update.
        ratio: of the seconds per update, with the settings over without.
        ours: seconds per update with them.
        bare: seconds per update without.
        ours_peak: bytes that the process with them held at most.
        bare_peak: bytes that the other one held at most.
        goal: what the ratio shall not exceed.
    """

    samples: int
    ratio: Ratio
    ours: Side
    bare: Side
    ours_peak: int
    bare_peak: int
    goal: float = GOAL


def compare(samples: int, pairs: int) -> MemoryResult:
    """Time one case; ``pairs`` count, a few more come before them."""
    with _Trainee(worker_environment(1, False), samples) as ours, _Trainee({}, samples) as bare:
        interleave(ours.train, bare.train, WARM_UP)
        times = interleave(ours.train, bare.train, pairs)
        peaks = ours.peak(), bare.peak()
    sides = [Side.of(seconds, UPDATES) for seconds in times]
    return MemoryResult(samples, ratio_of(*times), *sides, *peaks)


class _Trainee:
    """A process that trains when it is told to."""

    def __init__(self, environment: dict[str, str], samples: int) -> None:
        context = mp.get_context("spawn")
        self._line, end = context.Pipe()
        self._process = context.Process(target=_serve, args=(end, samples), daemon=True)
        with environment_of(environment):
            self._process.start()

    def __enter__(self) -> _Trainee:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()

    def train(self) -> float:
        """Seconds of a few updates."""
        self._line.send("train")
        seconds: float = self._line.recv()
        return seconds

    def peak(self) -> int:
        """The most bytes that the process has held."""
        self._line.send("peak")
        held: int = self._line.recv()
        return held


def _serve(line: Connection, samples: int) -> None:
    """Answer in a thread, for Ray runs training in one too."""
    thread = threading.Thread(target=_answer, args=(line, samples))
    thread.start()
    thread.join()


def _answer(line: Connection, samples: int) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = trainwright.create("models", "convnet", width=16, in_channels=3, out_features=10)
    optimizer = torch.optim.AdamW(model.parameters())
    x, y = torch.randn(samples, 3, 32, 32), torch.randint(10, (samples,))
    while True:
        if line.recv() == "peak":
            line.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
            continue
        began = time.perf_counter()
        for _ in range(UPDATES):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x)["logits"], y).backward()
            optimizer.step()
        line.send(time.perf_counter() - began)
