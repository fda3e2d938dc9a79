"""Who takes part in a round: pure functions of job, seed, round and population.

Nothing is drawn from a generator that moves on, so that a round has the same cohort whatever was
run before it, and a resumed run needs nothing stored. The cost of a round is that of its cohort,
also in a population of 10^9.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from trainwright.data.heldout import rounded
from trainwright.data.random import first_distinct, key, normal, uniform64
from trainwright.errors import JobError, Problem
from trainwright.federated.partition import Floats, Ints, Partition
from trainwright.federated.spec import LatencySpec, SamplingSpec

PATH = "federation.cohort"


@dataclass(frozen=True)
class Cohort:
    """The clients of one round, each list ascending.

    Attributes:
        wanted: how many were to be asked.
        asked: those that were; fewer than ``wanted`` where too few could be reached.
        dropped: of these, who never answers.
        late: of these, whose answer comes after the deadline.
        arrived: of these, whose answer counts.
        seconds: simulated length of the round: that of the slowest answer that counts, or the
            deadline where an answer was waited for in vain; 0 without simulated times.
    """

    wanted: int
    asked: Ints
    dropped: Ints
    late: Ints
    arrived: Ints
    seconds: float


@dataclass(frozen=True)
class Cohorts:
    """The cohorts of a run.

    Attributes:
        sampling: as the job has it.
        seed: the job's.
        size: clients to ask in a round, see :func:`cohort_size`.
        partition: the population.
        num_steps: updates that each of some clients makes in a round.
        megabytes: what a client receives and sends in a round.
    """

    sampling: SamplingSpec
    seed: int
    size: int
    partition: Partition
    num_steps: Callable[[Ints], Ints]
    megabytes: float = 0.0

    def of(self, round: int) -> Cohort:
        """The cohort of a round, counted from 0."""
        asked = ask(self.sampling, self.seed, round, self.partition, self.size)
        drops = np.zeros(len(asked), dtype=np.bool_)
        if self.sampling.dropout:
            drops = _draw(self.seed, "dropout", round, asked) < self.sampling.dropout
        seconds, deadline = np.zeros(len(asked)), math.inf
        if self.sampling.latency is not None:
            deadline = self.sampling.latency.deadline_s or math.inf
            steps = self.num_steps(asked)
            seconds = latencies(
                self.sampling.latency, self.seed, round, asked, steps, self.megabytes
            )
        is_late = ~drops & (seconds > deadline)
        counts = ~drops & ~is_late
        waits_in_vain = deadline < math.inf and not counts.all()
        return Cohort(
            wanted=self.size,
            asked=asked,
            dropped=asked[drops],
            late=asked[is_late],
            arrived=asked[counts],
            seconds=deadline if waits_in_vain else float(seconds[counts].max(initial=0.0)),
        )


def cohort_size(cohort: int | float, num_clients: int) -> int:
    """How many clients a round asks.

    Args:
        cohort: ``federation.cohort``: a whole number of clients, or as float a fraction of all,
            which is rounded, to one at least.
        num_clients: in the population.

    Raises:
        JobError: more than there are.
    """
    if isinstance(cohort, float):
        return max(1, rounded(num_clients, cohort))
    if cohort > num_clients:
        raise JobError(
            Problem(
                PATH,
                "the cohort of a round is larger than the population",
                got=cohort,
                allowed=f"at most {num_clients}, the number of clients, or a fraction up to 1.0",
            )
        )
    return cohort


def ask(sampling: SamplingSpec, seed: int, round: int, partition: Partition, size: int) -> Ints:
    """Clients that are asked in a round, all different, ascending.

    They are drawn one after another among those that can be reached and were not drawn yet, all
    alike or in proportion to their samples.

    Args:
        sampling: as the job has it.
        seed: the job's.
        round: counted from 0.
        partition: the population.
        size: how many; fewer are returned where fewer can be reached.
    """
    within_reach = sampling.availability * partition.num_clients
    # With so many within reach the stream below surely has enough of them, and soon.
    if within_reach >= 8 * size + 1000:
        return _streamed(sampling, seed, round, partition, size)
    clients = np.arange(partition.num_clients)
    if size == len(clients) and sampling.availability == 1:
        return clients
    clients = clients[reachable(sampling, seed, round, clients)]
    # The order of exponential waiting times is that of draws without replacement in proportion
    # to their rates (P. S. Efraimidis, P. G. Spirakis, 2006).
    waits = -np.log1p(-_draw(seed, "order", round, clients))
    if sampling.by == "samples":
        waits /= partition.sizes(clients)
    first: Ints = np.sort(clients[np.argsort(waits, kind="stable")[:size]])
    return first


def _streamed(
    sampling: SamplingSpec, seed: int, round: int, partition: Partition, size: int
) -> Ints:
    """The first different clients in a stream of independent draws."""
    own, one = key(seed, "cohort", "stream", round), torch.zeros(1, dtype=torch.int64)

    def stream(places: int) -> list[int]:
        numbers = uniform64(own, one, (places, 2))[0].numpy()
        if sampling.by == "samples":
            clients = partition.in_proportion(numbers)
            clients = clients[clients >= 0]
        else:
            clients = np.floor(numbers[:, 0] * partition.num_clients).astype(np.int64)
        drawn: list[int] = clients[reachable(sampling, seed, round, clients)].tolist()
        return drawn

    return np.sort(np.array(first_distinct(stream, size), dtype=np.int64))


def reachable(
    sampling: SamplingSpec, seed: int, round: int, clients: Ints
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which of some clients can be reached in a round."""
    if sampling.availability == 1:
        return np.ones(len(clients), dtype=np.bool_)
    return np.asarray(_draw(seed, "availability", round, clients) < sampling.availability)


def latencies(
    spec: LatencySpec, seed: int, round: int, clients: Ints, num_steps: Ints, megabytes: float
) -> Floats:
    """Simulated seconds from question to answer of each of some clients.

    slowness * jitter * (num_steps * seconds_per_step + megabytes * seconds_per_megabyte), where
    slowness is a client's own and jitter that of client and round; both are log-normal with mean
    1, so that the average client takes what the job says.
    """
    ids = torch.from_numpy(clients)
    own = normal(key(seed, "latency", "slowness"), ids).to(torch.float64).numpy()
    moment = normal(key(seed, "latency", "jitter", round), ids).to(torch.float64).numpy()
    factor = np.exp(
        spec.spread * own - spec.spread**2 / 2 + spec.jitter * moment - spec.jitter**2 / 2
    )
    seconds: Floats = factor * (
        num_steps * spec.seconds_per_step + megabytes * spec.seconds_per_megabyte
    )
    return seconds


def _draw(seed: int, purpose: str, round: int, clients: Ints) -> Floats:
    """A number in [0, 1) for each client in a round."""
    numbers = uniform64(key(seed, "cohort", purpose, round), torch.from_numpy(clients))
    return np.asarray(numbers.numpy())
