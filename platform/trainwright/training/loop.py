"""The loop: updates, evaluations and checkpoints in their fixed order."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from torch import Tensor

from trainwright.data.loading import Splits
from trainwright.engine.base import Engine
from trainwright.strategy import Context, Strategy
from trainwright.strategy.compose import using
from trainwright.training import watchdog
from trainwright.training.evaluate import Evaluator
from trainwright.training.feed import Feed, Update
from trainwright.training.guard import Guard
from trainwright.training.progress import Progress
from trainwright.training.randomness import seed_all
from trainwright.training.recorder import Recorder
from trainwright.training.timetable import Timetable
from trainwright.training.update import Updater


@dataclass
class Loop:
    """Trains one phase to the end of its timetable, or until somebody asks to stop.

    Updates are counted over the whole run; epochs, schedule and events from the phase's start.

    Attributes:
        engine: what is trained.
        feed: gives the updates.
        updater: runs them.
        evaluator: evaluates the validation and test tables of ``splits``.
        guard: what is done about numbers that are not finite.
        schedule: update of the phase -> factor of each group's base rate.
        tests: whether the test table is evaluated at the end.
        save: writes a checkpoint of the present state; told whether it is the best so far.
        checkpoint_pace_s: seconds between two checkpoints of the timetable at least.
    """

    engine: Engine
    feed: Feed
    updater: Updater
    evaluator: Evaluator
    recorder: Recorder
    guard: Guard
    strategies: Sequence[Strategy]
    context: Context
    timetable: Timetable
    splits: Splits
    schedule: Callable[[int], float]
    progress: Progress
    record_samples: bool = False
    tests: bool = True
    save: Callable[[bool], None] = lambda improved: None
    checkpoint_pace_s: float = 0.0
    _saved_at: float = field(default_factory=time.monotonic)

    def run(self) -> bool:
        """Train.

        Returns:
            True when training is complete, False when it was asked to stop before.
        """
        with watchdog.armed(), closing(self.feed):
            return self._run()

    def _run(self) -> bool:
        self.engine.module.train()
        rates = [group["lr"] for group in self.engine.param_groups]
        ended_epoch = using(self.strategies, "epoch_end")
        last = self.timetable.steps_per_epoch - 1
        while not self._is_over:
            index = self.progress.finished
            epoch, place = self.timetable.place_of(index - self.progress.began)
            self._update(index, epoch, rates)
            improved = self._evaluate_if_due()
            if place == last:
                for strategy in ended_epoch:
                    strategy.epoch_end(epoch)
                self._settle_tables()
                self._hand_over()
            self.recorder.pass_on()
            self._check_losses()
            if self._is_over and self.tests:
                self.evaluate_test()
            stopping = self.recorder.stop_requested and not self._is_over
            if improved or stopping or self._is_over or self._checkpoint_is_due:
                self.checkpoint(improved)
            if stopping:
                return False
            self._tell_milestone()
        return True

    @property
    def _done(self) -> int:
        """Updates finished in this phase."""
        return self.progress.finished - self.progress.began

    @property
    def epochs_begun(self) -> int:
        """Epochs of this phase of which at least one update is done."""
        return -(-self._done // self.timetable.steps_per_epoch)

    @property
    def _is_over(self) -> bool:
        return self._done >= self.timetable.total_steps or self.progress.stopped_early

    @property
    def _checkpoint_is_due(self) -> bool:
        if not self.timetable.checkpoint_is_due(self._done):
            return False
        return time.monotonic() - self._saved_at >= self.checkpoint_pace_s

    def _update(self, index: int, epoch: int, rates: Sequence[float]) -> None:
        watchdog.beat()
        self.context.update, self.context.epoch = index, epoch
        factor = self.schedule(self._done)
        now = [rate * factor for rate in rates]
        for group, rate in zip(self.engine.param_groups, now, strict=True):
            group["lr"] = rate
        update = self.feed[index]
        seed_all(self.context.seed, "update", index, self.context.rank)
        summed = self.updater(update, now)
        plain = {
            "train/lr": now[0],
            "train/epoch": (self._done + 1) / self.timetable.steps_per_epoch,
        }
        late: dict[str, Tensor | float] = {}
        skipped = self.updater.skipped
        if skipped is not None:
            self._leave_out(update, skipped)
            plain["train/skipped_updates"] = float(self.progress.skipped)
        elif (norm := self.engine.gradient_norm()) is not None:
            late["train/grad_norm"] = norm
        self._settle_tables()
        for name, value in self.context.take_logged().items():
            summed[name] = value / self.context.world_size
        self.recorder.note(index + 1, summed, plain, late, update.size)
        self.progress.finished = index + 1
        self._hand_over()
        if self.record_samples or skipped is not None:
            self._record_samples(index)

    def _leave_out(self, update: Update, reason: str) -> None:
        """Count and tell an update that did not move the weights."""
        self.progress.skipped += 1
        if self.context.tables is not None:
            self.context.tables.forget()
        number = update.index + 1
        if self.recorder.journal is not None:
            samples = _named(self.feed.sample_ids(update.index))
            message = f"update {number} was left out: {reason}{samples}"
            self.recorder.journal.event(message, number)
        self.guard.check_skipped(self.progress.skipped, f"update {number}: {reason}")

    def _record_samples(self, index: int) -> None:
        if self.recorder.journal is not None:
            self.recorder.journal.samples(index + 1, self.feed.sample_ids(index))

    def _check_losses(self) -> None:
        """End training, or ask for a rewind, where a loss that was read is not finite."""
        if self.recorder.broken is None or self.guard.action == "ignore":
            return
        step, cause = self.recorder.broken
        epoch, _ = self.timetable.place_of(step - 1 - self.progress.began)
        if epoch == self.context.epoch:
            if not self.record_samples:
                self._record_samples(step - 1)
            cause += _named(self.feed.sample_ids(step - 1))
        self.guard.give_up(cause, step)

    def _hand_over(self) -> None:
        """Give logged histograms and figures to the journal."""
        self.context.attachments.hand_over(
            self.recorder.journal, self.progress.finished, self.engine.settings.device
        )

    def _settle_tables(self) -> None:
        """Fold what hooks have put into per-sample tables."""
        if self.context.tables is not None:
            self.context.tables.settle()

    def _evaluate_if_due(self) -> bool:
        """Evaluate when it is time; whether the monitored metric improved."""
        table = self.splits.validation
        if table is None or not self.timetable.evaluation_is_due(self._done):
            return False
        self.recorder.flush()
        self._check_losses()
        metrics = self.evaluator(table, "validation")
        self._record(metrics)
        asked = [s.evaluated(metrics) for s in using(self.strategies, "evaluated")]
        self._settle_tables()
        self._hand_over()
        self.progress.stopped_early = any(asked)
        self.recorder.pause()
        return self.progress.best.improves(metrics, self.progress.finished)

    def _tell_milestone(self) -> None:
        """An evaluation is over, and the checkpoint that goes with it."""
        due = self.timetable.evaluation_is_due(self._done)
        if self.recorder.monitor is None or self.splits.validation is None or not due:
            return
        if self.recorder.monitor.needs_checkpoints and self.recorder.saves is not None:
            self.recorder.saves.settle()
        milestone = {
            "step": self.progress.finished,
            "epoch": self._done / self.timetable.steps_per_epoch,
            "metrics": dict(self.progress.metrics),
            "is_last": self._is_over,
        }
        self.recorder.monitor.show({"milestone": milestone})
        self.recorder.pause()

    def evaluate_test(self) -> None:
        """Evaluate the test table, where there is one."""
        if self.splits.test is not None:
            self._record(self.evaluator(self.splits.test, "test"))

    def _record(self, metrics: Mapping[str, float]) -> None:
        self.progress.metrics.update(metrics)
        if self.recorder.journal is not None:
            self.recorder.journal.metrics(self.progress.finished, metrics)
        if self.recorder.monitor is not None:
            self.recorder.monitor.show({"metrics": dict(metrics)})

    def checkpoint(self, improved: bool = False) -> None:
        """Write a checkpoint of this moment; ``improved``: it is the best so far."""
        self.recorder.flush()
        self._check_losses()
        self.guard.check_weights(self.engine, self.progress.finished)
        self.progress.loss = self.recorder.last.get("train/loss", self.progress.loss)
        self.save(improved)
        self._saved_at = time.monotonic()
        self.recorder.pause()


def _named(ids: Sequence[int], most: int = 8) -> str:
    """The samples of an update, for a message."""
    more = ", ..." if len(ids) > most else ""
    return f" ({len(ids)} samples, ids {', '.join(map(str, ids[:most]))}{more})"
