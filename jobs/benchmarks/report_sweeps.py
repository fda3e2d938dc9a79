"""The measurements of the benchmark of sweeps in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from report_words import side, table
from sweeps import ACTORS, GOAL, OVERHEAD_GOAL

HEADER = ("what", "against", "ideal, s", "ours, s", "of the ideal rate", "goal", "verdict")


def sweeps_table(results: Mapping[str, Any]) -> list[str]:
    """The whole sweep, and its trials without what is done once."""
    bare = results["bare"]
    words = {True: "met", False: "missed"}
    rows = [
        (what, against, f"{(ideal := results[base]):.1f}", f"{results[name]:.1f}",
         f"{100 * ideal / results[name]:.1f} %", f"{100 * GOAL:.0f} %",
         words[ideal / results[name] >= GOAL])
        for against, base in (("bare loops", "ideal_s"), ("its trials alone", "own_s"))
        for what, name in (
            ("the whole sweep, from the call to the result", "whole_s"),
            ("from the first trial's beginning to the last one's end", "trials_s"),
        )
    ]  # fmt: skip
    overhead = results["overhead_s"]
    return [
        f"{results['trials']} trials of {results['epochs']} epochs on {ACTORS} actors; one takes "
        f"{side(bare)} s of a bare loop.",
        "",
        *table(
            ("what", "against", "ideal, s", "ours, s", "of the ideal rate", "goal", "verdict"), rows
        ),
        "",
        f"A trial takes {overhead:.3f} s of its actor beside its training (goal at most "
        f"{OVERHEAD_GOAL:g} s: {words[overhead <= OVERHEAD_GOAL]}).",
    ]
