"""The rounds of a federation that are left, from its newest checkpoint on."""

from __future__ import annotations

import contextlib
import json
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from trainwright.checkpoint import CheckpointStore, CheckpointWriter
from trainwright.errors import InputError, RunError
from trainwright.federated.clients.trainer import Execution
from trainwright.federated.plan import Plan
from trainwright.federated.processes.pool import InProcess, Pool
from trainwright.federated.processes.site import Site
from trainwright.federated.server.at_clients import AtClients, spread_over
from trainwright.federated.server.client_states import ClientStates
from trainwright.federated.server.measures import Measures
from trainwright.federated.server.rounds import Server
from trainwright.federated.server.standing import Standing, Totals
from trainwright.federated.transport.sent import Sent
from trainwright.metrics import higher_is_better, metric_label
from trainwright.orchestration.monitor import LocalMonitor
from trainwright.orchestration.processes import reuse_memory
from trainwright.procedure.threads import threads_of
from trainwright.secrets import secrets_in
from trainwright.storage import Folder
from trainwright.tracking import JournalWriter
from trainwright.tracking.system import SystemSampler
from trainwright.training.keeping import Keeper
from trainwright.training.metrics import monitored
from trainwright.training.progress import Progress
from trainwright.training.resuming import Start, starting_point
from trainwright.training.saving import Holdings, Saver, constants_of, restore
from trainwright.training.telling import Teller


@dataclass(frozen=True)
class Done:
    """How far a federation came.

    Attributes:
        is_complete: whether all rounds are done.
        rounds: how many are.
        metrics: newest value of each evaluated metric, the clients' last loss, what was counted.
        remarks: things the user should know.
    """

    is_complete: bool
    rounds: int
    metrics: dict[str, float]
    remarks: list[str]


def execute(plan: Plan, folder: Folder, monitor: LocalMonitor) -> Done:
    """Run the rounds that are left.

    Args:
        plan: of the federation.
        folder: the run's folder.
        monitor: takes progress, and knows whether to stop.

    Raises:
        RunError: clients or the server failed.
        CheckpointError: no checkpoint can be read, or the last one not be written.
    """
    reuse_memory()
    cluster = plan.job.spec.cluster
    start = starting_point(folder, 0, None)
    with (
        JournalWriter(folder, start.attempt, start.lineage, max(cluster.workers, 1)) as journal,
        threads_of(cluster.cpus_per_worker),
    ):
        tell = Teller(journal, monitor)
        for warning in start.warnings:
            tell(warning)
        progress = Progress(best=monitored(plan.parts.assembly.job, plan.job.base))
        standing = _standing(plan)
        keeper = _keeper(plan, folder, start, progress, standing, tell)
        with _pool(plan, folder, standing.execution, tell) as pool:
            server = _server(plan, folder, pool, standing, progress, keeper, journal, monitor)
            with _sampled(plan, journal, progress), _told():
                is_complete = server.run()
            keeper.finish()
    metrics = {**progress.metrics, **standing.totals.values()}
    if progress.loss is not None:
        metrics["train/loss"] = progress.loss
    remarks = [*start.warnings, *keeper.warnings, *_empty_rounds(plan, standing.totals)]
    return Done(is_complete, progress.finished, metrics, remarks)


def _empty_rounds(plan: Plan, totals: Totals) -> Iterator[str]:
    """A sentence on rounds that changed nothing, if there were any."""
    if totals.empty_rounds:
        least = plan.job.spec.federation.sampling.min_clients
        yield (
            f"{totals.empty_rounds} of {plan.parts.rounds} rounds changed nothing: fewer than "
            f"{least} client{'s' * (least > 1)} answered (federation.sampling.min_clients)"
        )


def _standing(plan: Plan) -> Standing:
    """The state of the server before the first round."""
    parts = plan.parts
    privacy = parts.outgoing.privacy
    return Standing(
        parts.aggregator.start(parts.federation),
        plan.execution,
        privacy=privacy.start() if privacy is not None else {},
    )


def _keeper(
    plan: Plan,
    folder: Folder,
    start: Start,
    progress: Progress,
    standing: Standing,
    tell: Teller,
) -> Keeper:
    """What takes checkpoints; the newest one is put back."""
    parts, keep = plan.parts, plan.job.spec.federation.keep
    strategies = parts.assembly.strategies
    holdings = Holdings(parts.engine, strategies, progress, parts={"federation": standing})
    if start.checkpoint is not None:
        restore(start.checkpoint, holdings)
    writer = CheckpointWriter(folder, 0, 1, keep_last=keep.last, keep_best=keep.best)
    constants = constants_of(parts.assembly.splits, plan.plugin_files)
    saver = Saver(writer, holdings, parts.assembly.job, constants, start.attempt, start.lineage)
    return Keeper(saver, start.checkpoint.name if start.checkpoint else None, tell)


@contextlib.contextmanager
def _pool(plan: Plan, folder: Folder, execution: Execution, tell: Teller) -> Iterator[Pool]:
    """Where clients train."""
    cluster = plan.job.spec.cluster
    pool: Pool
    if cluster.workers == 0:
        pool = InProcess(Site(plan.parts, execution))
    else:
        from trainwright.federated.processes.residents import Order, Residents

        values = plan.values()
        order = Order(
            job=values,
            base=str(plan.job.base),
            execution=execution,
            digest=plan.parts.rows.partition.digest(),
            fingerprint=plan.parts.assembly.splits.fingerprint,
            plugin_files=plan.plugin_files,
            weights=plan.start.kept_in(folder) if plan.start else None,
            logs=folder.local_path() / "logs" if folder.is_local else None,
            concealed=secrets_in(json.dumps(values)),
        )
        pool = Residents(cluster, order, tell)
    try:
        yield pool
    finally:
        pool.close()


def _server(
    plan: Plan,
    folder: Folder,
    pool: Pool,
    standing: Standing,
    progress: Progress,
    keeper: Keeper,
    journal: JournalWriter,
    monitor: LocalMonitor,
) -> Server:
    parts, spec = plan.parts, plan.job.spec
    states = None
    if parts.aggregator.keeps_state or parts.staying:
        states = ClientStates(folder, parts.first_client_state, progress.finished)
    wanted = spec.federation.client_evaluation

    def measured(sent: Sent, clients: Sequence[int]) -> list[dict[str, float]]:
        return pool.measure(sent, server.binned(clients))

    measures = Measures(
        parts,
        progress,
        journal,
        lambda found: monitor.show({"metrics": dict(found)}),
        AtClients(
            clients=spread_over(
                parts.federation.population,
                wanted.clients if wanted is not None and wanted.clients != "all" else None,
            )
            if wanted is not None
            else [],
            measure=measured,
            higher_is_better=partial(_direction, plan),
            folder=folder,
            journal=journal,
        ),
    )
    server = Server(
        parts=parts,
        pool=pool,
        bins=parts.num_bins(standing.execution),
        cohorts=parts.cohorts(),
        lr=parts.lr,
        standing=standing,
        states=states,
        measures=measures,
        progress=progress,
        keeper=keeper,
        journal=journal,
        monitor=monitor,
        oldest_checkpoint=CheckpointStore(folder).oldest_step,
    )
    return server


def _direction(plan: Plan, name: str) -> bool | None:
    """Whether more of a metric, or of the loss, is better."""
    for spec in plan.job.spec.metrics:
        label = metric_label(spec.name)
        if name == label or name.startswith(f"{label}/"):
            return higher_is_better(spec.name, plan.job.base)
    return False


@contextlib.contextmanager
def _sampled(plan: Plan, journal: JournalWriter, progress: Progress) -> Iterator[None]:
    """System metrics, if the job wants them."""
    if not plan.job.spec.tracking.system_metrics:
        yield
        return
    sampler = SystemSampler(journal, lambda: progress.finished)
    try:
        yield
    finally:
        sampler.stop()


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """What plugins raise, as the failure of a run."""
    try:
        yield
    except (InputError, RunError, KeyboardInterrupt):
        raise
    except Exception as error:  # plugins are the user's code and may raise anything
        trace = "".join(traceback.format_exception(error))
        print(trace, file=sys.stderr)
        text = f"the federation failed: {type(error).__name__}: {error}\n{trace}"
        raise RunError(text) from error
