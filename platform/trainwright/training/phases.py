"""Training in phases: what the ``run`` hooks of strategies call ``fit``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from trainwright.data.rows import Rows
from trainwright.data.table import Table
from trainwright.engine.base import Engine
from trainwright.engine.restarting import restart_optimizer
from trainwright.errors import JobError, Problem, RunError
from trainwright.strategy import PhaseResult, Strategy
from trainwright.strategy.compose import apply_objective, using
from trainwright.strategy.nesting import wrap_run
from trainwright.strategy.phases import MAIN
from trainwright.training.assembly import Assembly
from trainwright.training.loop import Loop
from trainwright.training.phase_plan import Overrides, phase_assembly, phase_optimizer
from trainwright.training.progress import Progress
from trainwright.training.randomness import seed_all

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")


class TrainingStopped(BaseException):
    """Somebody asked to stop; no ``Exception``, so that a strategy's code does not hold it up."""


@dataclass
class Phases:
    """Trains phases one after another, in one engine.

    Attributes:
        assembly: of the job.
        base: folder of the job file.
        engine: what is trained.
        progress: how far the run is.
        make_loop: the loop of a phase, from its assembly.
        restore: puts back the checkpoint from which the run is resumed; None for a new run. It
            has been put back once when this object is made.
    """

    assembly: Assembly
    base: Path
    engine: Engine
    progress: Progress
    make_loop: Callable[[Assembly], Loop]
    restore: Callable[[], None] | None = None
    _called: set[str] = field(default_factory=set)
    _loop: Loop | None = None
    _edited: bool = False

    def run(self) -> bool:
        """All of training, with the strategies' ``run`` hooks around it.

        Returns:
            True when training is complete, False when it was asked to stop before.
        """
        if self.progress.ended:
            return True
        if self._several:
            self._between(0)
        try:
            wrap_run(self._strategies, self)()
        except TrainingStopped:
            return False
        if self._several:
            self._finish()
        return True

    @property
    def _strategies(self) -> list[Strategy]:
        return list(self.assembly.strategies.values())

    @property
    def _several(self) -> bool:
        """Whether a strategy decides on the phases, so that there may be more than one."""
        return bool(using(self._strategies, "run"))

    def __call__(
        self,
        phase: str = MAIN,
        *,
        epochs: int | None = None,
        steps: int | None = None,
        optimizer: Mapping[str, Any] | None = None,
        schedule: Mapping[str, Any] | None = None,
        objective: nn.Module | None = None,
        source: str | Table | None = None,
        batch_size: int | None = None,
        weights: Mapping[str, Tensor] | None = None,
    ) -> PhaseResult:
        """Train a phase, see :class:`trainwright.strategy.Fit`."""
        self._claim(phase)
        over = self.progress.phases.get(phase)
        if over is not None:
            self._between(over.step)
            return over.result
        wanted = Overrides(
            epochs=epochs,
            steps=steps,
            optimizer=optimizer,
            schedule=schedule,
            objective=objective,
            source=source,
            batch_size=batch_size,
        )
        assembly = phase_assembly(self.assembly, self.base, phase, wanted)
        if self.restore is not None:
            loop = self._resume(phase, assembly)
        else:
            loop = self._begin(phase, assembly, weights or {})
        if not loop.run():
            raise TrainingStopped
        self._between(self.progress.finished)
        return self.progress.result

    def weights(self) -> dict[str, Tensor]:
        """See :class:`trainwright.strategy.Fit`."""
        return {name: value.cpu() for name, value in self.engine.master().items()}

    def edit(self, values: Mapping[str, Tensor]) -> None:
        """See :class:`trainwright.strategy.Fit`."""
        self.engine.edit(values)
        self._edited = True

    def table(self) -> Rows:
        """See :class:`trainwright.strategy.Fit`."""
        return self.assembly.splits.train

    def _claim(self, phase: str) -> None:
        if not _NAME.match(phase):
            problem = Problem("phase", "is no name: letters, digits and . _ / -", phase)
            raise JobError(problem)
        if phase in self._called:
            raise JobError(Problem("phase", "two phases of one run have the same name", phase))
        self._called.add(phase)

    def _resume(self, phase: str, assembly: Assembly) -> Loop:
        if phase != self.progress.phase:
            raise RunError(
                f"the run is resumed in phase {self.progress.phase}, but its strategies now ask "
                f"for phase {phase}, which was not trained before it: `run` must call the same "
                "phases in the same order each time"
            )
        if self._several:
            restart_optimizer(self.engine, phase_optimizer(assembly, self.base, phase))
            assert self.restore is not None
            self.restore()
        self.restore = None
        return self._made(assembly)

    def _begin(self, phase: str, assembly: Assembly, weights: Mapping[str, Tensor]) -> Loop:
        if self._loop is not None or assembly.plan.optimizer != self.assembly.plan.optimizer:
            restart_optimizer(self.engine, phase_optimizer(assembly, self.base, phase))
        if weights:
            self.engine.edit(weights)
        begun = 0
        if self._loop is not None:
            begun = self.progress.epochs + self._loop.epochs_begun
        self.progress.begin(phase, begun)
        loop = self._made(assembly)
        for strategy in using(self._strategies, "phase_begin"):
            strategy.phase_begin(phase)
        if self._several:
            # What strategies did between the phases must outlive a crash in this one.
            loop.save(False)
            if loop.recorder.stop_requested:
                raise TrainingStopped
        return loop

    def _made(self, assembly: Assembly) -> Loop:
        context, timetable = self.assembly.context, assembly.timetable
        context.batch_size = assembly.plan.batch_size
        context.steps_per_epoch = timetable.steps_per_epoch
        context.total_steps = timetable.total_steps
        self.engine.module.replace_objective(self._objective(assembly))
        self._edited = False
        self._loop = loop = self.make_loop(assembly)
        loop.recorder.total_steps = self.progress.began + timetable.total_steps
        loop.tests = not self._several
        return loop

    def _objective(self, assembly: Assembly) -> nn.Module | None:
        """The phase's objective inside the strategies' wrappers; None for the job's own."""
        if assembly.terms is self.assembly.terms:
            return None
        return apply_objective(self._strategies, assembly.terms).to(self.engine.settings.device)

    def _between(self, step: int) -> None:
        """The random numbers of code between phases, the same when it runs again."""
        context = self.assembly.context
        context.update, context.epoch = step, 0
        seed_all(context.seed, "between", step)

    def _finish(self) -> None:
        """The test table and the last checkpoint, when no strategy asks for a further phase."""
        assert self._loop is not None
        self._loop.evaluate_test()
        self.progress.generation += self._edited
        self.progress.ended = True
        self._loop.save(False)
