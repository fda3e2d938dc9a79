"""The objects of a federation, as the server and every process that trains clients build them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import nn

from trainwright.data.loading import Splits, load_splits
from trainwright.data.table import Table
from trainwright.engine.base import EngineSettings
from trainwright.engine.local import LocalEngine
from trainwright.errors import PluginError, Problem
from trainwright.federated.aggregator import Aggregator, Federation, State
from trainwright.federated.client_job import client_job
from trainwright.federated.client_rows import ClientRows
from trainwright.federated.cohorts import Cohorts, cohort_size
from trainwright.federated.outgoing import Outgoing
from trainwright.federated.partition import Ints
from trainwright.federated.partitioning import make_partition
from trainwright.federated.privacy.plan import plan_of
from trainwright.federated.spec import FederatedJob
from trainwright.federated.staying import Staying
from trainwright.federated.trainer import Local, num_steps
from trainwright.federated.vectors import VectorModule
from trainwright.optimizers import build_optimizer
from trainwright.plugins import find
from trainwright.strategy import Context
from trainwright.training.assembly import Assembly, assemble
from trainwright.training.construction import Construction
from trainwright.training.evaluate import Evaluator
from trainwright.training.metrics import LateMetrics, build_metrics
from trainwright.training.plugins import build_plugin
from trainwright.training.starting import Place


@dataclass(frozen=True)
class Parts:
    """Everything that a federation is made of, in one process.

    Attributes:
        spec: the job.
        base: folder of the job file.
        assembly: model, objective, strategies and data of the clients' job.
        vectors: the model's weights as a vector.
        engine: of the model, for evaluation and checkpoints; it trains nothing.
        aggregator: of the job.
        rows: whose samples are whose.
        federation: what the aggregator knows beforehand.
        outgoing: what is done to messages on their way.
    """

    spec: FederatedJob
    base: Path
    assembly: Assembly
    vectors: VectorModule
    engine: LocalEngine
    aggregator: Aggregator
    rows: ClientRows
    federation: Federation
    outgoing: Outgoing

    @cached_property
    def staying(self) -> Staying:
        """What does not leave the clients."""
        names = self.aggregator.local_tensors(self.assembly.module.model.model)
        return Staying(self.vectors, {f"model.{name}" for name in names})

    @cached_property
    def first_client_state(self) -> State:
        """What a client has that takes part for the first time."""
        if not self.aggregator.keeps_state:
            return {}
        return self.aggregator.client_state(self.federation)

    @cached_property
    def first_shared(self) -> State:
        """What the server sends besides in the first round."""
        return self.aggregator.broadcast(self.aggregator.start(self.federation))

    def lr(self, round: int) -> float:
        """The clients' learning rate in a round."""
        return self._base_lr * self._factor(round)

    @cached_property
    def _base_lr(self) -> float:
        optimizer = self.local().optimizer([nn.Parameter(torch.zeros(1))])
        return float(optimizer.param_groups[0]["lr"])

    @cached_property
    def _factor(self) -> Callable[[int], float]:
        """Round -> factor of the rate; to the schedule a round is an update, and an epoch."""
        schedule = build_plugin("schedules", self.spec.schedule, self.base, "schedule")
        factor: Callable[[int], float] = schedule.bind(self.spec.federation.rounds, 1)
        return factor

    def steps(self, clients: Ints) -> Ints:
        """Updates in a round of each of some clients."""
        training, batch_size = self.spec.training, self.spec.data.batch_size
        sizes = self.rows.sizes(clients).tolist()
        return np.array([num_steps(training, size, batch_size) for size in sizes], dtype=np.int64)

    def cohorts(self) -> Cohorts:
        """Who takes part in which round."""
        spec, weights = self.spec, self.vectors.layout.size
        shared = sum(tensor.numel() for tensor in self.first_shared.values())
        floats = weights + shared + 2 * self.vectors.buffer_layout.size
        megabytes = (4 * floats + self.outgoing.num_bytes(weights)) / 1e6
        return Cohorts(
            spec.federation.sampling,
            spec.seed,
            self.federation.cohort,
            self.rows.partition,
            self.steps,
            megabytes,
        )

    def num_bins(self, execution: str) -> int:
        """Parts into which a cohort is cut; the same on any number of processes."""
        wanted = self.spec.federation.bins
        if wanted is not None:
            return wanted
        if execution == "sequential":
            return 8
        cohort = self.federation.cohort
        return max(-(-cohort // SIDE_BY_SIDE), min(2, cohort // 10), 1)

    @property
    def table(self) -> Table:
        """All training samples."""
        table = self.assembly.splits.train
        assert isinstance(table, Table)
        return table

    def local(self) -> Local:
        """The means of training on clients."""
        job = self.assembly.job
        plugin = find("optimizers", job.optimizer.name, self.base, path="optimizer.name")
        options = self.assembly.plan.optimizer

        def optimizer(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
            return build_optimizer(plugin, parameters, options)

        return Local(
            self.vectors,
            self.assembly.terms,
            list(self.assembly.strategies.values()),
            self.assembly.context,
            self.aggregator,
            optimizer,
            self.spec.training,
            self.spec.data.batch_size,
            self.assembly.splits,
            self.spec.seed,
        )

    @cached_property
    def evaluator(self) -> Evaluator:
        """Evaluates the model as it is in this process."""
        job, splits, context = self.assembly.job, self.assembly.splits, self.assembly.context
        metrics = LateMetrics(lambda: build_metrics(job, self.base, splits, context.device))
        return Evaluator(
            self.engine,
            self.assembly.terms,
            metrics,
            splits.transforms,
            EVALUATION_BATCH,
            context,
            list(self.assembly.strategies.values()),
            table_of=lambda name: getattr(splits, name),
        )


SIDE_BY_SIDE = 50
"""Clients that train as one computation, where the job does not say in how many bins."""

EVALUATION_BATCH = 512
"""Samples per forward pass in evaluation."""


def build_parts(
    spec: FederatedJob, base: Path, weights: Place | None = None, splits: Splits | None = None
) -> Parts:
    """Build all objects of a federation; equal in every process, from the job's seed.

    Args:
        spec: the validated job.
        base: folder against which plugin files are found.
        weights: starting weights of the model.
        splits: the data, where it was loaded already.

    Raises:
        InputError: a plugin refuses its options, or parts do not fit together.
    """
    job = client_job(spec)
    splits = splits or load_splits(spec.data, base=base, workers=0, seed=spec.seed)
    device = torch.device("cuda" if spec.cluster.gpus_per_worker > 0 else "cpu")
    context = Context(seed=spec.seed, device=device)
    assembly = assemble(job, base, splits, context, Construction(weights))
    engine = LocalEngine(
        assembly.module,
        assembly.optimizer,
        EngineSettings(precision=spec.training.precision, device=device),
    )
    vectors = VectorModule(assembly.module)
    rows = _rows(spec, base, splits)
    population = rows.partition.num_clients
    aggregator = build_aggregator(spec, base)
    federation = Federation(
        population=population,
        cohort=cohort_size(spec.federation.cohort, population),
        rounds=spec.federation.rounds,
        layout=vectors.layout,
        optimizer=job.optimizer.name,
        options=assembly.plan.optimizer,
        outputs=tuple(assembly.module.model.output_names or ()),
    )
    for strategy in assembly.strategies.values():
        strategy.begin(context)
    return Parts(
        spec,
        base,
        assembly,
        vectors,
        engine,
        aggregator,
        rows,
        federation,
        _outgoing(spec, base, federation.cohort),
    )


def _outgoing(spec: FederatedJob, base: Path, cohort: int) -> Outgoing:
    """The way of messages to the server."""
    federation = spec.federation
    path = "federation.update_transforms"
    transforms = [
        build_plugin("update_transforms", transform, base, f"{path}.{index}")
        for index, transform in enumerate(federation.update_transforms)
    ]
    plan = plan_of(federation.privacy, cohort, spec.seed)
    return Outgoing(spec.seed, plan, transforms, federation.privacy.masked_sums)


def _rows(spec: FederatedJob, base: Path, splits: Splits) -> ClientRows:
    """The rows of all clients."""
    federation, table = spec.federation, splits.train
    assert isinstance(table, Table)
    partition = make_partition(federation.partition, federation.clients, table, base, spec.seed)
    wanted = federation.client_evaluation
    return ClientRows(partition, wanted.held_out if wanted is not None else 0.0, spec.seed)


def build_aggregator(spec: FederatedJob, base: Path) -> Aggregator:
    """The aggregator of a job.

    Raises:
        PluginError: unknown, its options are wrong, or it is none.
    """
    plugin = spec.federation.aggregator
    found = build_plugin("aggregators", plugin, base, "federation.aggregator")
    if not isinstance(found, Aggregator):
        message = "is no aggregator: it does not derive from trainwright.federated.Aggregator"
        raise PluginError(Problem("federation.aggregator.name", message, plugin.name))
    return found


def groups_of(clients: Sequence[int], number: int) -> list[list[int]]:
    """Clients cut into parts that differ in size by one at most, in their order."""
    number = min(number, len(clients))
    cuts = [len(clients) * i // number for i in range(number + 1)]
    return [list(clients[low:high]) for low, high in pairwise(cuts)]
