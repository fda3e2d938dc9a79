"""When things happen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainwright.job.models import TrainingSpec
from trainwright.strategy import Plan
from trainwright.training.timetable import Timetable


def _table(
    num_samples: int = 100, batch_size: int = 30, world: int = 1, **training: object
) -> Timetable:
    spec = TrainingSpec.model_validate(training)
    epochs = None if spec.steps else spec.epochs or 1
    plan = Plan(epochs, spec.steps, batch_size, None, {}, {})
    return Timetable.of(plan, spec, num_samples, world)


def test_epochs_become_updates() -> None:
    table = _table(epochs=3)
    assert (table.steps_per_epoch, table.total_steps, table.epochs) == (4, 12, 3)
    assert table.place_of(0) == (0, 0)
    assert table.place_of(9) == (2, 1)


def test_steps_may_end_inside_an_epoch() -> None:
    assert _table(steps=6).total_steps == 6


def test_events_come_at_their_multiples_and_at_the_end() -> None:
    table = _table(steps=7, evaluate_every="3 steps", checkpoint_every="1 epoch")
    assert [s for s in range(1, 8) if table.evaluation_is_due(s)] == [3, 6, 7]
    assert [s for s in range(1, 8) if table.checkpoint_is_due(s)] == [4, 7]


@given(st.integers(32, 5000), st.integers(32, 512), st.integers(1, 8))
def test_the_number_of_workers_changes_nothing(samples: int, batch: int, world: int) -> None:
    assert _table(samples, batch, world, epochs=2) == _table(samples, batch, 1, epochs=2)


def test_fewer_samples_than_workers_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be shared by 4 workers"):
        _table(num_samples=3, batch_size=8, world=4)


def test_more_workers_than_updates_were_made_for() -> None:
    """Those of a run that began with few workers may be too small for many."""
    table = _table(num_samples=19, batch_size=8, world=2)
    assert table.updates == ((0, 8), (8, 16), (16, 19))
    assert table.shared_by(3) is table
    with pytest.raises(ValueError, match=r"3 samples .* 4 workers: .* at most 2; use at most 3 wo"):
        table.shared_by(4)
