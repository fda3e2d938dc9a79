"""The objects of a federation, as the server and every process that trains clients build them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainwright.data.table import Table
from trainwright.engine.local import LocalEngine
from trainwright.federated.aggregator import (
    UPDATE,
    Aggregator,
    Client,
    Federation,
    State,
    overridden,
)
from trainwright.federated.clients.staying import Staying
from trainwright.federated.clients.trainer import Execution, Local, num_steps
from trainwright.federated.clients.vectors import VectorModule
from trainwright.federated.partition import Ints
from trainwright.federated.population.client_rows import ClientRows
from trainwright.federated.population.cohorts import Cohorts
from trainwright.federated.privacy.accountant import Accounting, accounting_of
from trainwright.federated.spec import FederatedJob
from trainwright.federated.transport.outgoing import Outgoing
from trainwright.optimizers import build_optimizer
from trainwright.plugins import find
from trainwright.training.assembly import Assembly
from trainwright.training.evaluate import Evaluator
from trainwright.training.metrics import LateMetrics, build_metrics
from trainwright.training.plugins import build_plugin


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

    @property
    def model(self) -> nn.Module:
        """The model as its plugin and the strategies make it."""
        return self.assembly.module.model.model

    @cached_property
    def staying(self) -> Staying:
        """What does not leave the clients."""
        names = self.aggregator.local_tensors(self.model)
        return Staying(self.vectors, {f"model.{name}" for name in names})

    @cached_property
    def accounting(self) -> Accounting | None:
        """What each round spends of privacy; None without noise."""
        federation, sampling = self.federation, self.spec.federation.sampling
        return accounting_of(
            self.spec.federation.privacy,
            federation.population,
            federation.cohort,
            sampling.availability,
        )

    @cached_property
    def rounds(self) -> int:
        """Rounds to run: those of the job, or as many as the privacy budget allows."""
        most, budget = self.federation.rounds, self.spec.federation.privacy.max_epsilon
        if self.accounting is None or budget is None:
            return most
        return self.accounting.rounds_within(budget, most)

    @cached_property
    def first_client_state(self) -> State:
        """What a client has that takes part for the first time."""
        if not self.aggregator.keeps_state:
            return {}
        return self.aggregator.client_state(self.federation)

    @cached_property
    def message_parts(self) -> list[str]:
        """Names of the parts of a client's message."""
        if not overridden(self.aggregator, "end"):
            return [UPDATE]
        weights = self.vectors.weights
        client = Client(
            id=0,
            round=0,
            num_samples=1,
            num_steps=1,
            lr=self.lr(0) or 1.0,
            weights=weights,
            shared=self.first_shared,
            state=self.first_client_state,
            layout=self.vectors.layout,
        )
        return list(self.aggregator.end(torch.zeros_like(weights), client)[0])

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
        steps = [num_steps(training, size, batch_size, self.fewest) for size in sizes]
        return np.array(steps, dtype=np.int64)

    @cached_property
    def fewest(self) -> int:
        """Samples that the model needs to be trained on."""
        modules = self.assembly.module.modules()
        return 2 if any(isinstance(module, _BatchNorm) for module in modules) else 1

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

    def num_bins(self, execution: Execution) -> int:
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
            self.fewest,
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
