"""How far a run is: what a checkpoint keeps of the loop itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trainwright.strategy import PhaseResult
from trainwright.training.monitored import Best


@dataclass(frozen=True)
class Finished:
    """A phase that is over.

    Attributes:
        result: what it gave.
        step: updates of the whole run that were finished then.
    """

    result: PhaseResult
    step: int


@dataclass
class Progress:
    """How far a run is.

    Attributes:
        finished: updates done, over all phases.
        best: the best value of the monitored metric so far in this phase.
        metrics: newest value of each metric evaluated in this phase.
        loss: training loss of the last update.
        stopped_early: whether a strategy ended the phase.
        phase: name of the phase that is trained, or was trained last; None before the first.
        began: updates that were finished when it began.
        epochs: epochs begun in the phases before it, so that no phase repeats another's order.
        phases: the phases before it, in their order.
        generation: how many times training began anew: phases, and edits after the last one.
        ended: whether there is nothing left to do.
        skipped: updates that were left out, over all phases; they count as finished.
    """

    finished: int = 0
    best: Best = field(default_factory=Best)
    metrics: dict[str, float] = field(default_factory=dict)
    loss: float | None = None
    stopped_early: bool = False
    phase: str | None = None
    began: int = 0
    epochs: int = 0
    phases: dict[str, Finished] = field(default_factory=dict)
    generation: int = 0
    ended: bool = False
    skipped: int = 0

    @property
    def result(self) -> PhaseResult:
        """What the present phase has given so far."""
        return PhaseResult(dict(self.metrics), self.finished - self.began, self.loss)

    def begin(self, phase: str, epochs: int) -> None:
        """Start a phase; the one before it is over.

        Args:
            phase: its name.
            epochs: epochs begun in all phases before it.
        """
        if self.phase is not None:
            self.phases[self.phase] = Finished(self.result, self.finished)
            self.generation += 1
        self.phase, self.began, self.epochs = phase, self.finished, epochs
        self.metrics, self.loss, self.stopped_early = {}, None, False
        self.best.forget()

    def state_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "finished": self.finished,
            "best": self.best.state_dict(),
            "metrics": dict(self.metrics),
            "loss": self.loss,
            "stopped_early": self.stopped_early,
            "phase": self.phase,
            "began": self.began,
            "epochs": self.epochs,
            "phases": [[name, *_plain(over)] for name, over in self.phases.items()],
            "generation": self.generation,
            "ended": self.ended,
            "skipped": self.skipped,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back ``state_dict``."""
        self.finished = int(state["finished"])
        self.best.load_state_dict(state["best"])
        self.metrics = dict(state["metrics"])
        self.loss = state["loss"]
        self.stopped_early = bool(state["stopped_early"])
        self.phase = state["phase"]
        self.began, self.epochs = int(state["began"]), int(state["epochs"])
        self.phases = {
            name: Finished(PhaseResult(metrics, steps, loss), step)
            for name, metrics, steps, loss, step in state["phases"]
        }
        self.generation, self.ended = int(state["generation"]), bool(state["ended"])
        self.skipped = int(state.get("skipped", 0))


def _plain(over: Finished) -> list[Any]:
    return [dict(over.result.metrics), over.result.steps, over.result.loss, over.step]
