"""The time of an update on N workers, from what its parts cost; nothing here is measured."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.special import ndtr


@dataclass(frozen=True)
class Network:
    """Links between workers.

    Attributes:
        alpha_s: seconds until a message arrives that holds nothing, between nodes.
        beta_s: seconds for each byte that a node sends.
        per_node: workers of a node; they share its link.
        alpha_in_s: as ``alpha_s``, inside a node.
        beta_in_s: as ``beta_s``, for each worker inside a node.
    """

    alpha_s: float
    beta_s: float
    per_node: int = 1
    alpha_in_s: float = 0.0
    beta_in_s: float = 0.0


@dataclass(frozen=True)
class Workload:
    """What each worker does in an update; its share does not change with their number.

    Attributes:
        name: in tables.
        parameters: weights of the model.
        tensors: in which they lie.
        samples: of a worker in an update.
        compute_s: seconds of an update on one worker that exchanges nothing.
        fixed_s: of these, seconds that do not depend on the number of samples.
        backward_s: of these, seconds during which gradients come out.
        gradient_bytes: that are summed over all workers.
        state_bytes: of a checkpoint.
        spread: standard deviation of the logarithm of ``compute_s``, from one update and worker to
            the next.
    """

    name: str
    parameters: int
    tensors: int
    samples: float
    compute_s: float
    fixed_s: float
    backward_s: float
    gradient_bytes: float
    state_bytes: float
    spread: float


@dataclass(frozen=True)
class Prediction:
    """An update on so many workers, in seconds.

    Attributes:
        workers: how many.
        compute_s: of one worker.
        waiting_s: for the slowest of all.
        exchange_s: of gradients, beyond what is hidden behind the backward pass.
        samples_per_second: over all workers.
        efficiency: of one worker's samples per second.
    """

    workers: int
    compute_s: float
    waiting_s: float
    exchange_s: float
    samples_per_second: float
    efficiency: float

    @property
    def seconds(self) -> float:
        """Of the update."""
        return self.compute_s + self.waiting_s + self.exchange_s


Exchange = Literal["ring", "hierarchical"]


def ring_s(workers: int, size_bytes: float, alpha_s: float, beta_s: float) -> float:
    """Seconds of an all-reduce around a ring.

    2 (N - 1) messages one after the other, each of an N-th of the bytes. A reduce-scatter and an
    all-gather, as at ZeRO 2, take the same together.
    """
    steps = 2 * (workers - 1)
    return steps * alpha_s + steps / workers * size_bytes * beta_s


def hierarchical_s(workers: int, size_bytes: float, network: Network) -> float:
    """Seconds of an all-reduce that sums inside nodes first.

    Reduce-scatter inside each node, all-reduce between the nodes of what each worker then holds,
    all-gather inside. Between nodes the bytes go around a ring and the latency is that of a tree,
    as in NCCL; all workers of a node share its link.
    """
    inside = min(network.per_node, workers)
    nodes = math.ceil(workers / inside)
    within = ring_s(inside, size_bytes, network.alpha_in_s, network.beta_in_s)
    between = 2 * (nodes - 1) / nodes * size_bytes * network.beta_s
    return within + between + 2 * math.ceil(math.log2(nodes)) * network.alpha_s


def expected_maximum(workers: int, spread: float) -> float:
    """The mean of the largest of N lognormal times, over the mean of one of them."""
    z = np.linspace(-9.0, 9.0, 20001)
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    # The density of the largest of N: N times that of one, and all others lie below.
    largest = workers * density * ndtr(z) ** (workers - 1)
    mean = float(np.trapezoid(np.exp(spread * z) * largest, z))
    return mean / math.exp(spread**2 / 2)


def predict(
    work: Workload,
    network: Network,
    workers: int,
    exchange: Exchange = "ring",
    overlapped: bool = False,
) -> Prediction:
    """An update on ``workers`` workers.

    Args:
        work: what each does.
        network: their links.
        workers: how many, at least 1.
        exchange: how gradients are summed.
        overlapped: whether that goes on during the backward pass; the last bucket never does,
            and is taken for a tenth of the bytes.
    """
    size = work.gradient_bytes
    if exchange == "ring":
        whole = ring_s(workers, size, network.alpha_s, network.beta_s)
    else:
        whole = hierarchical_s(workers, size, network)
    hidden = min(work.backward_s, 0.9 * whole) if overlapped else 0.0
    waiting = work.compute_s * (expected_maximum(workers, work.spread) - 1)
    exchanged = whole - hidden
    seconds = work.compute_s + waiting + exchanged
    return Prediction(
        workers=workers,
        compute_s=work.compute_s,
        waiting_s=waiting,
        exchange_s=exchanged,
        samples_per_second=workers * work.samples / seconds,
        efficiency=work.compute_s / seconds,
    )


def shared(work: Workload, workers: int) -> Workload:
    """What each of the workers does that share the samples of one."""
    per_sample_s = work.compute_s - work.fixed_s
    return replace(
        work,
        samples=work.samples / workers,
        compute_s=work.fixed_s + per_sample_s / workers,
        backward_s=work.backward_s / workers,
    )
