"""When training ends, evaluates and checkpoints, all in updates."""

from __future__ import annotations

from dataclasses import dataclass, field
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
        cut_for: most workers that the updates are made for.
    """

    updates: tuple[tuple[int, int], ...]
    total_steps: int
    evaluate_every: int
    checkpoint_every: int
    cut_for: int = field(default=1, compare=False)

    @classmethod
    def of(
        cls,
        plan: Plan,
        training: TrainingSpec,
        num_samples: int,
        cut_for: int,
        num_groups: int | None = None,
    ) -> Timetable:
        """The timetable of a plan over ``num_samples`` training samples.

        It is the same whatever number of workers up to ``cut_for`` trains by it. Where groups are
        kept whole, ``num_groups`` is given, and updates end at the ends of groups nearest to those
        of the timetable.

        Raises:
            ValueError: fewer samples or groups, or a smaller batch, than workers.
        """
        updates = tuple(split_updates(num_samples, plan.batch_size, cut_for))
        if num_groups is not None:
            number = num_group_updates(num_groups, len(updates), cut_for)
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
            cut_for,
        )

    def shared_by(self, world_size: int) -> Timetable:
        """This timetable, whose every update has a sample for each of so many workers.

        Raises:
            ValueError: it has not. That can only be where there are more than it was made for.
        """
        smallest = min(stop - start for start, stop in self.updates)
        if smallest < world_size:
            raise ValueError(
                f"an update of {smallest} samples cannot be shared by {world_size} workers: the "
                f"epochs of this run were cut when it began, for at most {self.cut_for}; use at "
                f"most {smallest} workers"
            )
        return self

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
