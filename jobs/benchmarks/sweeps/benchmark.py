"""A sweep against bare loops: what ``run_all.py`` runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from common.benchmark import Benchmark
from common.words import side, table

from sweeps.measure import ACTORS, GOAL, OVERHEAD_GOAL, compare

HEADER = ("what", "against", "ideal, s", "ours, s", "of the ideal rate", "goal", "verdict")


def run(pairs: int, quick: bool) -> dict[str, Any]:
    """The sweep and its bare loops; ``pairs`` are trials."""
    return asdict(compare(pairs))


def tables(results: Mapping[str, Any]) -> list[str]:
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
        *table(HEADER, rows),
        "",
        f"A trial takes {overhead:.3f} s of its actor beside its training (goal at most "
        f"{OVERHEAD_GOAL:g} s: {words[overhead <= OVERHEAD_GOAL]}).",
    ]


BENCHMARK = Benchmark("sweeps", 200, 8, run, tables)
