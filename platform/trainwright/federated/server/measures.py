"""What is measured of the global model, and when."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from trainwright.federated.parts import Parts
from trainwright.federated.processes.site import GLOBAL_LOSS, OWN_LOSS
from trainwright.federated.server.decomposition import decomposition
from trainwright.federated.transport.reduction import Total
from trainwright.federated.transport.sent import Sent
from trainwright.tracking import JournalWriter
from trainwright.training.progress import Progress


@dataclass
class Measures:
    """Evaluates the global model after a round: on all samples that are held out, and at clients.

    Attributes:
        parts: of the federation; its model has the weights that are measured.
        progress: takes the metrics.
        journal: takes them too.
        show: shows them.
        at_clients: measures what was sent at single clients, and sums it up.
    """

    parts: Parts
    progress: Progress
    journal: JournalWriter
    show: Callable[[Mapping[str, float]], None]
    at_clients: Callable[[Sent, int], dict[str, float]]
    _local_losses: tuple[Sequence[float], Sequence[float], Sequence[float]] | None = None

    def decomposes_after(self, rounds: int) -> bool:
        """Whether the loss is split into its three parts once so many rounds are done."""
        due = self._is_due(rounds) or rounds == self.parts.rounds
        return due and self.parts.spec.federation.decomposition

    def validates_after(self, rounds: int) -> bool:
        """Whether the model is evaluated on what is held out once so many rounds are done."""
        is_last = rounds == self.parts.rounds
        held_out = self.parts.assembly.splits.validation
        return held_out is not None and (is_last or self._is_due(rounds))

    def note(self, total: Total) -> None:
        """Keep what the clients of a round measured of their own models."""
        self._local_losses = None
        if total.clients and OWN_LOSS in total.further:
            own, everyone = total.further[OWN_LOSS], total.further[GLOBAL_LOSS]
            self._local_losses = own, everyone, total.weights

    def __call__(self, sent: Sent, is_last: bool) -> bool:
        """Measure what is due after a round; whether the monitored metric improved."""
        splits, rounds = self.parts.assembly.splits, self.progress.finished
        improved = False
        found: dict[str, float] = {}
        if self.validates_after(rounds):
            assert splits.validation is not None
            found = self.parts.evaluator(splits.validation, "validation")
            if self._local_losses is not None:
                found |= decomposition(*self._local_losses, found["validation/loss"])
        if is_last and splits.test is not None:
            found |= self.parts.evaluator(splits.test, "test")
        if self._clients_are_due(rounds, is_last):
            found |= self.at_clients(sent, rounds)
        if found:
            self.progress.metrics.update(found)
            self.journal.metrics(rounds, found)
            self.show(found)
        if any(name.startswith("validation/") for name in found):
            improved = self.progress.best.improves(found, rounds)
        return improved

    def _is_due(self, rounds: int) -> bool:
        return rounds % self.parts.spec.federation.evaluate_every == 0

    def _clients_are_due(self, rounds: int, is_last: bool) -> bool:
        wanted = self.parts.spec.federation.client_evaluation
        if wanted is None:
            return False
        return is_last or (wanted.every is not None and rounds % wanted.every == 0)
