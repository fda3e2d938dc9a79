"""The server of a federation: its rounds, from the chosen clients to the new model."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from trainwright.errors import CheckpointError, RunError
from trainwright.federated.aggregator import UPDATE, Reduced, State
from trainwright.federated.partition import Ints
from trainwright.federated.parts import Parts
from trainwright.federated.population.cohorts import Cohort, Cohorts
from trainwright.federated.processes.pool import Pool
from trainwright.federated.server.client_states import ClientStates
from trainwright.federated.server.measures import Measures
from trainwright.federated.server.standing import Standing
from trainwright.federated.transport.masking import FEWEST_CLIENTS, Masks
from trainwright.federated.transport.reduction import Total
from trainwright.federated.transport.sent import Sent
from trainwright.federated.transport.work import Bin, groups_of
from trainwright.orchestration.monitor import LocalMonitor
from trainwright.storage import cause_of
from trainwright.tracking import JournalWriter
from trainwright.training.keeping import Keeper
from trainwright.training.progress import Progress

EPSILONS = 10
"""How often in a run epsilon is told: each takes up to seconds."""


@dataclass
class Server:
    """Runs the rounds that are left.

    Attributes:
        parts: of the federation.
        pool: where clients train.
        bins: parts into which a cohort is cut.
        cohorts: who takes part in which round.
        lr: round -> learning rate of the clients.
        standing: what changes beside the model.
        states: what clients keep; None where they keep nothing.
        measures: evaluations of the model.
        progress: rounds that are finished, and metrics.
        keeper: takes checkpoints.
        journal: takes numbers.
        monitor: takes progress, and knows whether to stop.
        oldest_checkpoint: gives the rounds that were finished at the oldest checkpoint.
    """

    parts: Parts
    pool: Pool
    bins: int
    cohorts: Cohorts
    lr: Callable[[int], float]
    standing: Standing
    states: ClientStates | None
    measures: Measures
    progress: Progress
    keeper: Keeper
    journal: JournalWriter
    monitor: LocalMonitor
    oldest_checkpoint: Callable[[], int | None]
    _weights: Tensor = field(init=False)
    _buffers: Tensor = field(init=False)
    _counters: dict[str, Tensor] = field(init=False)

    def __post_init__(self) -> None:
        vectors = self.parts.vectors
        self._weights, self._buffers = vectors.weights.cpu().clone(), vectors.buffers.cpu().clone()
        self._counters = {name: value.cpu().clone() for name, value in vectors.counters.items()}

    def run(self) -> bool:
        """Run all rounds that are left.

        Returns:
            True when all rounds are done, False when it was asked to stop before.

        Raises:
            RunError: clients failed, or the model is no longer finite.
        """
        spec = self.parts.spec.federation
        while self.progress.finished < self.parts.rounds:
            if self.monitor.stop_requested:
                self._checkpoint(False)
                return False
            self._round(self.progress.finished)
            is_last = self.progress.finished == self.parts.rounds
            self._put_in_place()
            improved = self.measures(self._sent(self.progress.finished - 1), is_last)
            if improved or is_last or self.progress.finished % spec.checkpoint_every == 0:
                self._checkpoint(improved)
            self._tell_milestone(is_last)
        return True

    def _tell_milestone(self, is_last: bool) -> None:
        """An evaluation is over, and the checkpoint that goes with it; a round is an epoch."""
        rounds = self.progress.finished
        if self.measures.validates_after(rounds):
            milestone = {"step": rounds, "epoch": float(rounds), "is_last": is_last}
            metrics = dict(self.progress.metrics)
            self.monitor.show({"milestone": {**milestone, "metrics": metrics}})

    def _round(self, round: int) -> None:
        began = time.perf_counter()
        cohort = self.cohorts.of(round)
        sent = self._sent(round, cohort.asked.tolist())
        total = self._trained(sent, cohort.arrived)
        self._refuse_broken(round, total)
        fewest = FEWEST_CLIENTS if self.parts.outgoing.masks else 1
        is_empty = len(total.clients) < max(self.parts.spec.federation.sampling.min_clients, fewest)
        if not is_empty:
            self._aggregate(round, sent, total)
        self._count(sent, cohort, total, is_empty)
        self.progress.finished = round + 1
        self._record(sent, total, is_empty, time.perf_counter() - began)

    def _sent(self, round: int, asked: Sequence[int] = ()) -> Sent:
        parts = self.parts
        return Sent(
            round=round,
            lr=self.lr(round),
            weights=self._weights,
            buffers=self._buffers,
            counters=self._counters,
            shared=parts.aggregator.broadcast(self.standing.aggregator),
            privacy=self.standing.privacy,
            cohort=asked if parts.outgoing.masks else (),
            decomposes=self.measures.decomposes_after(round + 1),
        )

    def _trained(self, sent: Sent, clients: Ints) -> Total:
        """What the clients of a round send, added up in their order."""
        total = Total()
        if len(clients) == 0:
            return total
        bins = self.binned(clients.tolist())
        steps = dict(zip(clients.tolist(), self.parts.steps(clients).tolist(), strict=True))
        costs = [float(sum(steps[client] for client in bin.clients)) for bin in bins]
        for part in self.pool.train(sent, bins, costs):
            total.join(part)
        if self.states is not None:
            self.states.put(total.clients, total.states, sent.round + 1)
        return total

    def binned(self, clients: Sequence[int]) -> list[Bin]:
        """Clients in bins, with what they keep."""
        return [Bin(group, self._kept(group)) for group in groups_of(clients, self.bins)]

    def _kept(self, clients: Sequence[int]) -> list[State]:
        return [{}] * len(clients) if self.states is None else self.states.get(clients)

    def _refuse_broken(self, round: int, total: Total) -> None:
        if not total.dropped:
            return
        named = ", ".join(map(str, sorted(total.dropped)[:8]))
        more = ", ..." if len(total.dropped) > 8 else ""
        text = f"round {round + 1}: updates that are not finite, of clients {named}{more}"
        if self.parts.spec.federation.on_non_finite == "stop":
            raise RunError(
                f"{text}. A smaller optimizer.lr or training.max_grad_norm may help; with "
                "federation.on_non_finite: drop they are left out"
            )
        self.journal.event(f"{text}; they were left out", round + 1)

    def _aggregate(self, round: int, sent: Sent, total: Total) -> None:
        parts, standing = self.parts, self.standing
        if parts.outgoing.masks:
            total.unmask(Masks(parts.spec.seed, round, sent.cohort))
        reduced = self._private(total, total.reduced(round, parts.federation))
        weights, standing.aggregator = parts.aggregator.server(
            sent.weights, reduced, standing.aggregator
        )
        if not bool(weights.isfinite().all()):
            name = parts.spec.federation.aggregator.name
            raise RunError(
                f"round {round + 1}: {name} has made weights that are not finite of finite "
                "updates; a smaller learning rate of the server may help"
            )
        self._weights, self._buffers = weights, total.mean_buffers()
        self._counters = {**self._counters, **total.counters}

    def _private(self, total: Total, reduced: Reduced) -> Reduced:
        """With the noise of the server, if it adds any; the clip moves on."""
        plan, standing = self.parts.outgoing.privacy, self.standing
        if plan is None:
            return reduced
        if plan.central_noise:
            mean = plan.private_mean(total.sums[UPDATE], reduced.round, standing.privacy)
            reduced = replace(reduced, mean={**reduced.mean, UPDATE: mean})
        standing.privacy = plan.next_state(
            standing.privacy, len(total.clients), total.num_within, reduced.round
        )
        return reduced

    def _count(self, sent: Sent, cohort: Cohort, total: Total, is_empty: bool) -> None:
        totals = self.standing.totals
        totals.bytes_down += sent.num_bytes * len(cohort.asked)
        totals.bytes_up += total.num_bytes
        totals.dropped += len(total.dropped)
        totals.missing += len(cohort.asked) - len(cohort.arrived)
        totals.empty_rounds += is_empty
        totals.simulated_s += cohort.seconds

    def _record(self, sent: Sent, total: Total, is_empty: bool, seconds: float) -> None:
        step = self.progress.finished
        counted = self.standing.totals.values() | self._privacy_spent(step)
        values = {
            "train/lr": sent.lr,
            "federation/clients": float(len(total.clients)),
            **counted,
            "system/clients_per_second": len(total.clients) / seconds,
            "system/seconds_per_step": seconds,  # of a federation, a round
        }
        if self.parts.spec.federation.sampling.latency is not None:
            values["federation/simulated_seconds"] = self.standing.totals.simulated_s
        if total.clients:
            values["train/loss"] = self.progress.loss = total.mean(total.losses)
            values["train/update_norm"] = total.mean(total.norms)
        self.measures.note(total)
        self.journal.metrics(step, values)
        self.monitor.show(
            {
                "step": step,
                "total_steps": self.parts.rounds,
                "loss": self.progress.loss,
                "samples_per_second": total.num_samples / seconds,
                "seconds_per_step": seconds,
                "clients_per_second": len(total.clients) / seconds,
                "federation": counted,
            }
        )

    def _privacy_spent(self, rounds: int) -> dict[str, float]:
        """Epsilon so far, and the clip that was used; now and then, for the former takes time."""
        privacy, accounting = self.parts.outgoing.privacy, self.parts.accounting
        found = {} if privacy is None else {"federation/clip": self.standing.privacy["clip"]}
        every = max(self.parts.spec.federation.evaluate_every, -(-self.parts.rounds // EPSILONS))
        is_due = rounds % every == 0
        if accounting is not None and (is_due or rounds == self.parts.rounds):
            found["federation/epsilon"] = accounting.epsilon(rounds)
            self.progress.metrics["federation/epsilon"] = found["federation/epsilon"]
        return found

    def _put_in_place(self) -> None:
        """Let the module have the server's weights."""
        vectors = self.parts.vectors
        with torch.no_grad():
            vectors.weights.copy_(self._weights)
            vectors.buffers.copy_(self._buffers)
            for name, counter in vectors.counters.items():
                counter.copy_(self._counters[name])

    def _checkpoint(self, improved: bool) -> None:
        self._put_in_place()
        if self.states is None or self._states_are_kept():
            self.keeper(improved)

    def _states_are_kept(self) -> bool:
        """Write what clients keep; a checkpoint without it would be none.

        Where the store refuses, it is told, and tried again at the next checkpoint.

        Raises:
            RunError: it refuses after the last round.
        """
        assert self.states is not None
        rounds = self.progress.finished
        try:
            self.states.flush(rounds)
            self.states.forget(self.oldest_checkpoint() or 0)
        except CheckpointError:
            raise
        except Exception as error:  # whatever the store's client raises
            text = f"what clients keep could not be written: {cause_of(error)}"
            if rounds == self.parts.rounds or self.monitor.stop_requested:
                raise RunError(
                    f"{text}. Make room there or mend the store; the same command then goes on "
                    "from the newest checkpoint"
                ) from error
            self.progress.best.withdraw(rounds)
            self.keeper.tell(f"{text}; round {rounds} has no checkpoint", rounds)
            return False
        return True
