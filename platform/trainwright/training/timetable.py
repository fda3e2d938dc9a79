"""When training ends, evaluates and checkpoints, all in updates."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from trainwright.data.groups import num_group_updates
from trainwright.data.order import micro_batches, split_updates
from trainwright.durations import Duration
from trainwright.job.models import TrainingSpec
from trainwright.strategy import Plan


@dataclass(frozen=True)
class Timetable:
    """The length of training and its regular events.

    Attributes:
        updates: (start, stop) of each update inside an epoch, in positions of its order.
        total_steps: updates in the whole training.
        evaluate_every: updates between evaluations.
        checkpoint_every: updates between checkpoints.
    """

    updates: tuple[tuple[int, int], ...]
    total_steps: int
    evaluate_every: int
    checkpoint_every: int

    @classmethod
    def of(
        cls,
        plan: Plan,
        training: TrainingSpec,
        num_samples: int,
        world_size: int,
        num_groups: int | None = None,
    ) -> Timetable:
        """The timetable of a plan over ``num_samples`` training samples.

        Where groups are kept whole, ``num_groups`` is given, and updates end at the ends of groups
        nearest to those of the timetable.

        Raises:
            ValueError: fewer samples or groups, or a smaller batch, than workers.
        """
        updates = tuple(split_updates(num_samples, plan.batch_size, world_size))
        if num_groups is not None:
            number = num_group_updates(num_groups, len(updates), world_size)
            if number < len(updates):
                updates = tuple(micro_batches(0, num_samples, number))
        length = (
            Duration(plan.steps, "steps")
            if plan.steps is not None
            else Duration(plan.epochs or 1, "epochs")
        )
        return cls(
            updates,
            length.in_steps(len(updates)),
            training.evaluate_every.in_steps(len(updates)),
            training.checkpoint_every.in_steps(len(updates)),
        )

    @property
    def steps_per_epoch(self) -> int:
        """Updates in one epoch."""
        return len(self.updates)

    @cached_property
    def epochs(self) -> float:
        """Length of training in epochs."""
        return self.total_steps / self.steps_per_epoch

    def place_of(self, step: int) -> tuple[int, int]:
        """Epoch, and update inside it, of the update with number ``step`` (from 0)."""
        return divmod(step, self.steps_per_epoch)

    def evaluation_is_due(self, finished: int) -> bool:
        """Whether to evaluate after ``finished`` updates; always at the end."""
        return finished % self.evaluate_every == 0 or finished == self.total_steps

    def checkpoint_is_due(self, finished: int) -> bool:
        """Whether to checkpoint after ``finished`` updates; always at the end."""
        return finished % self.checkpoint_every == 0 or finished == self.total_steps
