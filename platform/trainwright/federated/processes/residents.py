"""Resident processes on Ray in which clients train."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainwright.errors import RunError
from trainwright.federated.clients.trainer import Execution
from trainwright.federated.processes.pool import placed
from trainwright.federated.spec import FederatedCluster, FederatedJob
from trainwright.federated.transport.reduction import Total
from trainwright.federated.transport.sent import Sent
from trainwright.federated.transport.travel import packed, unpacked
from trainwright.federated.transport.work import Bin
from trainwright.orchestration.failures import Failure, describe
from trainwright.orchestration.processes import worker_environment
from trainwright.orchestration.quiet import output_to
from trainwright.orchestration.reach import adopt, store_environment
from trainwright.plugins import install_plugin_files
from trainwright.secrets import conceal
from trainwright.training.starting import Place

MOST_IN_CALL = 1 << 16
"""Bytes: what is larger lies in Ray's store once, for all processes; for less a way round it."""


@dataclass(frozen=True)
class Order:
    """What a process needs to build the federation, as plain values that travel.

    Attributes:
        job: the resolved job as JSON values.
        base: folder of the job file on the server's machine.
        execution: how clients train.
        digest: of the partition, which must be the server's.
        fingerprint: of the data, likewise.
        plugin_files: the user's plugin files, relative path -> content.
        weights: starting weights of the model.
        logs: folder for what the process prints, where it is local.
        stores: environment variables that say how object stores are reached.
        concealed: values that no file or message may show.
    """

    job: dict[str, Any]
    base: str
    execution: Execution
    digest: str
    fingerprint: str
    plugin_files: Mapping[str, bytes]
    weights: Place | None
    logs: Path | None
    stores: Mapping[str, str] = field(default_factory=store_environment)
    concealed: tuple[str, ...] = ()


class Residents:
    """As many processes as the job says; each gets its part of a round in one call.

    One that is lost is replaced, and its part of the round done again, with the same result:
    nothing of a round depends on where it was worked on.

    Args:
        cluster: of the job.
        order: what each process builds.
        tell: told in a sentence when a process was lost.
    """

    def __init__(
        self, cluster: FederatedCluster, order: Order, tell: Callable[[str], None]
    ) -> None:
        from trainwright.orchestration import on_ray

        self._cluster = cluster
        self._order = order
        self._tell = tell
        self._connected = on_ray.connect(cluster)
        on_ray.check_resources(cluster)
        import ray

        environment = worker_environment(cluster.cpus_per_worker, cluster.gpus_per_worker > 0)
        self._class = ray.remote(
            num_cpus=cluster.cpus_per_worker,
            num_gpus=cluster.gpus_per_worker,
            runtime_env={"env_vars": environment},
        )(Resident)
        self._processes = [self._start() for _ in range(cluster.workers)]
        self._present = set[int]()

    def train(self, sent: Sent, bins: Sequence[Bin], costs: Sequence[float]) -> list[Total]:
        """See :class:`trainwright.federated.processes.pool.Pool`."""
        results: list[Total] = self._share("train", sent, bins, costs)
        return results

    def measure(self, sent: Sent, bins: Sequence[Bin]) -> list[dict[str, float]]:
        """See :class:`trainwright.federated.processes.pool.Pool`."""
        found = self._share("measure", sent, bins, [float(len(bin.clients)) for bin in bins])
        return [one for part in found for one in part]

    def close(self) -> None:
        """End the processes, and leave the cluster if this object joined it."""
        import ray

        for process in self._processes:
            ray.kill(process)
        if self._connected:
            ray.shutdown()

    def _start(self) -> Any:
        return self._class.remote(self._order)

    def _share(
        self, what: str, sent: Sent, bins: Sequence[Bin], costs: Sequence[float]
    ) -> list[Any]:
        """The results of all bins, whoever worked on them, in the order of the bins."""
        import ray

        sent_once = packed(sent)
        if len(sent_once) > MOST_IN_CALL:
            sent_once = ray.put(sent_once)
        results: dict[int, Any] = {}
        lost = 0
        while left := [index for index in range(len(bins)) if index not in results]:
            shares = placed([costs[index] for index in left], len(self._processes))
            calls = []
            for place, share in enumerate(shares):
                indices = [left[index] for index in share]
                share_of_bins = packed([bins[i] for i in indices])
                references = self._call(place, what, len(indices), sent_once, share_of_bins)
                calls.append((place, indices, references))
            for place, indices, references in calls:
                try:
                    found = ray.get(references)
                except ray.exceptions.RayError as error:
                    lost += 1
                    self._replace(place, error, lost)
                    continue
                if isinstance(failure := found[0], Failure):
                    raise RunError(
                        f"training of clients failed: {failure.kind}: {failure.message}\n"
                        f"{failure.trace}"
                    )
                results |= dict(zip(indices, map(unpacked, found), strict=True))
        return [results[index] for index in range(len(bins))]

    def _call(self, place: int, what: str, number: int, *arguments: Any) -> list[Any]:
        """Give a process work, once it has found room in the cluster.

        Args:
            place: of the process.
            what: its method.
            number: of results; each travels by itself, for small ones go with Ray's answer.
            *arguments: of the method.

        Raises:
            RunError: there is none.
        """
        import ray

        process, limit = self._processes[place], self._cluster.room_timeout_s
        if place not in self._present and not ray.wait([process.here.remote()], timeout=limit)[0]:
            share = {"CPU": self._cluster.cpus_per_worker, "GPU": self._cluster.gpus_per_worker}
            there = ray.available_resources()
            lacking = [
                f"{n:g} {kind} ({there.get(kind, 0):g} free)" for kind, n in share.items() if n
            ]
            raise RunError(
                f"there was no room for a process that trains clients within {limit:g} s: it takes "
                f"{' and '.join(lacking)}. The same command goes on from the last checkpoint; with "
                "fewer cluster.workers the results are the same"
            )
        self._present.add(place)
        references = getattr(process, what).options(num_returns=number).remote(*arguments)
        return [references] if number == 1 else references

    def _replace(self, place: int, error: Exception, lost: int) -> None:
        """Start another process in the place of one that was lost.

        Raises:
            RunError: too many were lost since a round came to its end.
        """
        import ray

        cause = str(error).strip().splitlines()[0]
        if lost > self._cluster.max_failures:
            raise RunError(
                f"{lost} processes that train clients were lost in one round, the last one: "
                f"{cause}. cluster.max_failures is {self._cluster.max_failures}; the same command "
                "goes on from the last checkpoint"
            ) from error
        self._tell(f"a process that trains clients was lost and is replaced: {cause}")
        ray.kill(self._processes[place])  # where it was cut off and lives, it would keep its room
        self._processes[place] = self._start()
        self._present.discard(place)


class Resident:
    """What Ray keeps alive: a site, and the file to which it prints."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._site: Any = None
        self._log = ExitStack()
        if order.logs is not None:  # for good: to open it takes as long as many a round
            self._log.enter_context(output_to(order.logs / f"clients-{os.getpid()}.log"))

    def here(self) -> None:
        """Answer, which a process can that has found room and is not at work."""

    def train(self, sent: bytes, bins: bytes) -> Any:
        """Train the clients of some bins: a packed :class:`Total` for each."""
        return self._guarded("train", sent, bins)

    def measure(self, sent: bytes, bins: bytes) -> Any:
        """Measure at the clients of some bins: a packed list for each."""
        return self._guarded("measure", sent, bins)

    def _guarded(self, what: str, sent: bytes, bins: bytes) -> Any:
        """One result for each bin, as Ray takes several: of a single one itself, else in a list."""
        received = unpacked(bins)
        try:
            if self._site is None:
                self._site = _build(self._order)
            work, weights = getattr(self._site, what), unpacked(sent)
            results: list[Any] = [packed(work(weights, bin)) for bin in received]
        except Exception as error:  # plugins are the user's code and may raise anything
            results = [describe(error, 0)] * len(received)
        return results if len(results) > 1 else results[0]


def _build(order: Order) -> Any:
    """The site of this process."""
    from trainwright.federated.building import build_parts, device_of
    from trainwright.federated.processes.site import Site

    conceal(*order.concealed)
    adopt(order.stores)
    base = install_plugin_files(order.plugin_files, Path(order.base))
    spec = FederatedJob.model_validate(order.job)
    parts = build_parts(spec, base, order.weights, device=device_of(spec.cluster))
    if parts.assembly.splits.fingerprint != order.fingerprint:
        raise RunError("the data that this process reads is not what the server has read")
    if parts.rows.partition.digest() != order.digest:
        raise RunError("the partition of this process is not that of the server")
    return Site(parts, order.execution)
