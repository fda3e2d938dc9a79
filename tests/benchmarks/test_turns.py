"""Turns between a function in a thread and the thread that waits for it."""

from __future__ import annotations

import pytest
from common.handover import Handover


def test_a_function_works_only_in_its_turns() -> None:
    handover, events = Handover(), []

    def function() -> None:
        for number in range(2):
            events.append(f"ours {number}")
            handover.end_turn()
        events.append("end")

    handover.start(function)
    events.append("bare")
    handover.turn()
    events.append("bare")
    handover.last_turn()
    assert events == ["ours 0", "bare", "ours 1", "bare", "end"]


def test_what_the_function_raises_comes_out() -> None:
    handover = Handover()

    def function() -> None:
        handover.end_turn()
        raise RuntimeError("no disk")

    handover.start(function)
    with pytest.raises(RuntimeError, match="no disk"):
        handover.turn()
