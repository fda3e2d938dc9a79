"""Building the objects of a federation, alike in every process."""

from __future__ import annotations

from pathlib import Path

import torch

from trainwright.data.loading import Splits, load_splits
from trainwright.data.table import Table
from trainwright.engine.base import EngineSettings
from trainwright.engine.local import LocalEngine
from trainwright.errors import PluginError, Problem
from trainwright.federated.aggregator import (
    Aggregator,
    Federation,
)
from trainwright.federated.client_job import client_job
from trainwright.federated.clients.vectors import VectorModule
from trainwright.federated.parts import Parts
from trainwright.federated.population.client_rows import ClientRows
from trainwright.federated.population.cohorts import cohort_size
from trainwright.federated.population.partitioning import make_partition
from trainwright.federated.privacy.plan import plan_of
from trainwright.federated.spec import FederatedCluster, FederatedJob
from trainwright.federated.transport.outgoing import Outgoing
from trainwright.strategy import Context
from trainwright.training.assembly import assemble
from trainwright.training.construction import Construction
from trainwright.training.dry_run import first_samples, outputs_on
from trainwright.training.plugins import build_plugin
from trainwright.training.starting import Place

CPU = torch.device("cpu")


def device_of(cluster: FederatedCluster) -> torch.device:
    """Where clients train in a process that does so."""
    return torch.device("cuda") if cluster.gpus_per_worker > 0 else CPU


def build_parts(
    spec: FederatedJob,
    base: Path,
    weights: Place | None = None,
    splits: Splits | None = None,
    device: torch.device = CPU,
) -> Parts:
    """Build all objects of a federation; equal in every process, from the job's seed.

    Args:
        spec: the validated job.
        base: folder against which plugin files are found.
        weights: starting weights of the model.
        splits: the data, where it was loaded already.
        device: where the model lies.

    Raises:
        InputError: a plugin refuses its options, or parts do not fit together.
    """
    job = client_job(spec)
    splits = splits or load_splits(spec.data, base=base, workers=0, seed=spec.seed)
    context = Context(seed=spec.seed, device=device)
    assembly = assemble(job, base, splits, context, Construction(weights))
    outputs = tuple(outputs_on(assembly, first_samples(assembly)))
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
        outputs=outputs,
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
