"""RESULTS.md: what is written for made-up measurements."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import federated
import federated_costs
import launch
import loop
import memory
import paths
import pytest
import recovery
import run_all
import saving
import streaming
from launch import STAGES
from plots import plot_ratios, rows_of
from report import HEAD, LIBRARIES, STAGE_WORDS, document, machine, verdict


def made_ratio(median: float, low: float, high: float) -> dict[str, Any]:
    return {"median": median, "low": low, "high": high, "pairs": 20}


def record(name: str, results: Any, load: float = 0.1) -> dict[str, Any]:
    where = {"cpus": 2, "processor": "Abacus", "python": "3.11", "commit": "abc1234"}
    where.update(dict.fromkeys(LIBRARIES, "1.0"))
    return {
        "name": name,
        "date": "2030-01-02",
        "command": f"run {name}",
        "machine": where,
        "load": [load, 1.5],
        "seconds": 61.2,
        "results": results,
    }


LOOP = [
    {
        "case": {"model": "mlp", "stage": 3, "workers": 2},
        "wall": made_ratio(1.0412, 1.03, 1.06),
        "cpu": made_ratio(1.02, 1.01, 1.03),
        "ours": {"median": 0.0021, "low": 0.002, "high": 0.0025},
        "bare": {"median": 0.002, "low": 0.0019, "high": 0.0024},
        "goal": 1.05,
    }
]
LAUNCH = {
    "ratio": made_ratio(1.4, 1.35, 1.5),
    "ours_s": {"median": 14.0, "low": 13.0, "high": 15.0},
    "bare_s": {"median": 10.0, "low": 9.0, "high": 11.0},
    "ours": {**dict.fromkeys(STAGES, 2.8), "total": 14.0},
    "bare": {**dict.fromkeys(STAGES, 2.0), "total": 10.0},
    "first": [30.0, 12.0],
    "goal": 1.3,
}


STREAMING = [
    {
        "table": "lists",
        "scan": made_ratio(1.25, 1.2, 1.3),
        "views": made_ratio(1.9, 1.8, 2.0),
        "ray": made_ratio(0.05, 0.04, 0.06),
        "ours": {"median": 0.1, "low": 0.1, "high": 0.1},
        "bare": {"median": 0.08, "low": 0.08, "high": 0.08},
        "bare_views": {"median": 0.05, "low": 0.05, "high": 0.05},
        "ray_s": {"median": 2.0, "low": 2.0, "high": 2.0},
        "rows": 200_000,
        "goal": streaming.GOAL,
        "ray_goal": streaming.RAY_GOAL,
    }
]

MEMORY = [
    {
        "samples": 64,
        "ratio": made_ratio(0.7, 0.65, 0.75),
        "ours": {"median": 0.014, "low": 0.013, "high": 0.015},
        "bare": {"median": 0.02, "low": 0.019, "high": 0.021},
        "ours_peak": 300 * 2**20,
        "bare_peak": 310 * 2**20,
        "goal": 1.0,
    }
]
SAVING = [
    {
        "place": "local",
        "size_bytes": 156_000_000,
        "ratio": made_ratio(1.05, 1.01, 1.08),
        "ours": {"median": 0.105, "low": 0.1, "high": 0.11},
        "bare": {"median": 0.1, "low": 0.09, "high": 0.11},
        "pause": {"median": 0.01, "low": 0.009, "high": 0.011},
        "writing": {"median": 0.5, "low": 0.4, "high": 0.6},
        "updates": 40,
        "background": {"median": 0.2, "low": 0.1, "high": 0.3},
        "server": None,
        "goal": 1.1,
    }
]
RECOVERY = [
    {
        "case": {"what": "node", "noticing": {}, "goal": 30.0},
        "kills": 5,
        "seconds": {"median": 21.0, "low": 20.0, "high": 22.5},
        "stages": {"noticed": 14.0, **dict.fromkeys(STAGES[1:], 1.75), "total": 21.0},
    }
]
SECONDS = {"median": 0.02, "low": 0.01, "high": 0.03}
FEDERATED = {
    "clients": 100,
    "rounds": 12,
    "rows": [
        {
            "name": "ours, 2 actors",
            "round": SECONDS,
            "bare": made_ratio(0.5, 0.4, 0.6),
            "goal": federated.GOALS["ours, 2 actors, sequential"],
            "flower": made_ratio(0.03, 0.02, 0.05),
            "flower_goal": federated.FLOWER_GOAL,
            "start_s": 9.87,
            "accuracy": 0.9123,
        },
        {
            "name": "bare loop",
            "round": SECONDS,
            "bare": made_ratio(1.0, 1.0, 1.0),
            "goal": None,
            "flower": None,
            "flower_goal": None,
            "start_s": 2.0,
            "accuracy": 0.9,
        },
    ],
    "costs": [
        {
            "population": 1_000_000,
            "cohort": 100,
            "rounds": {"sequential": SECONDS},
            "start_s": {"sequential": 4.5},
        }
    ],
}
PATHS = [
    {
        "name": net.name,
        "ratio": made_ratio(1.02, 1.0, 1.04),
        "cpu": made_ratio(1.01, 1.0, 1.02),
        "ours": {"median": 0.102, "low": 0.1, "high": 0.11},
        "bare": {"median": 0.1, "low": 0.09, "high": 0.11},
        "goal": net.goal,
    }
    for net in paths.SUPERNETS[-2:]
]
RESULTS = Path(__file__).resolve().parents[2] / "jobs" / "benchmarks" / "RESULTS.md"


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ((1.01, 1.0, 1.02), "met"),
        ((1.02, 1.0, 1.03), "met, not certain"),
        ((1.03, 1.02, 1.04), "missed, not certain"),
        ((1.03, 1.021, 1.04), "missed"),
    ],
)
def test_verdicts(numbers: tuple[float, float, float], words: str) -> None:
    assert verdict(made_ratio(*numbers), 1.02) == words


def test_a_line_of_the_loop_table() -> None:
    text = document([record("loop", LOOP)])
    expected = (
        "| mlp | 3 | 2 | 20 | 2.10 (2.00 to 2.50) | 2.00 (1.90 to 2.40) "
        "| 1.041 [1.030, 1.060] | 1.020 [1.010, 1.030] | 1.05 | met, not certain |"
    )
    assert expected in text.splitlines()
    assert "2030-01-02, `run loop`, 61 s, commit abc1234" in text
    assert "2 CPUs (Abacus), no GPU; python 3.11, torch 1.0" in text


def test_the_launch_section() -> None:
    text = document([record("launch", LAUNCH)])
    assert "Ratio 1.400 [1.350, 1.500] over 20 pairs, goal 1.3: missed." in text
    assert "ours 14.00 (13.00 to 15.00) s, bare 10.00 (9.00 to 11.00) s" in text
    assert f"| {STAGE_WORDS['engine']} | 2.8 | 2.0 |" in text.splitlines()


def test_a_line_of_the_memory_table() -> None:
    expected = (
        "| 64 | 20 | 14.00 (13.00 to 15.00) | 20.00 (19.00 to 21.00) "
        "| 0.700 [0.650, 0.750] | 300 | 310 |"
    )
    assert expected in document([record("memory", MEMORY)]).splitlines()


def test_lines_of_the_paths_table() -> None:
    first, last = document([record("paths", PATHS)]).splitlines()[-2:]
    numbers = "| 20 | 102.00 (100.00 to 110.00) | 100.00 (90.00 to 110.00) "
    ratios = "| 1.020 [1.000, 1.040] | 1.010 [1.000, 1.020] "
    assert first == f"| {PATHS[0]['name']} {numbers}{ratios}| 1.05 | met |"
    assert last == f"| {PATHS[1]['name']} {numbers}{ratios}| - | - |"


def test_a_line_of_the_saving_table() -> None:
    expected = (
        "| local | 156 | 20 | 105.00 (100.00 to 110.00) | 100.00 (90.00 to 110.00) "
        "| 1.050 [1.010, 1.080] | 1.1 | met | 10.00 (9.00 to 11.00) | 0.50 (0.40 to 0.60) | 40 "
        "| 0.20 (0.10 to 0.30) | - |"
    )
    assert expected in document([record("saving", SAVING)]).splitlines()


def test_a_line_of_the_recovery_table() -> None:
    expected = (
        "| node | Ray's own | 5 | 21.00 (20.00 to 22.50) | 14.0 | 1.8 | 1.8 | 1.8 | 30.0 | met |"
    )
    assert expected in document([record("recovery", RECOVERY)]).splitlines()


def test_a_line_of_the_streaming_table() -> None:
    expected = (
        "| lists | 20 | 2.00 | 2.50 | 4.00 | 0.10 | 1.250 [1.200, 1.300] | 1.43 | met "
        "| 0.050 [0.040, 0.060] | 0.1 | met | 1.900 [1.800, 2.000] |"
    )
    assert expected in document([record("streaming", STREAMING)]).splitlines()


def test_the_federated_section() -> None:
    lines = document([record("federated", FEDERATED)]).splitlines()
    assert (
        "| ours, 2 actors | 20.00 (10.00 to 30.00) | 5000 | 0.500 [0.400, 0.600] | 0.714 | met "
        "| 0.030 [0.020, 0.050] | 0.040 | met, not certain | 9.9 | 0.912 |"
    ) in lines
    assert (
        "| bare loop | 20.00 (10.00 to 30.00) | 5000 | 1.000 [1.000, 1.000] | - | - "
        "| - | - | - | 2.0 | 0.900 |"
    ) in lines
    assert "| 1,000,000 | 100 | 20.00 (10.00 to 30.00) | 0.200 | 4.5 |" in lines
    assert not [line for line in lines if "make flower" in line]
    alone = {**FEDERATED, "rows": FEDERATED["rows"][1:]}
    assert "`make flower` creates it" in document([record("federated", alone)])


def test_the_committed_results_hold_every_case_with_its_goal() -> None:
    """RESULTS.md is renewed by ``make bench``; an older form of it is noticed here."""
    text = RESULTS.read_text()
    head, *sections = text.split("\n## ")
    assert head.strip() == HEAD.strip()
    assert [text.split()[0] for text in sections] == list(run_all.NAMES)[: len(sections)]
    for case in loop.cases(pairs=1):
        start, goal = f"| {case.model} | {case.stage} | {case.workers} |", loop.GOALS[case.model]
        [row] = [line for line in sections[0].splitlines() if line.startswith(start)]
        assert f"| {goal} |" in row
    assert f"goal {launch.GOAL}" in sections[1]
    for samples in memory.SAMPLES:
        assert f"\n| {samples} |" in sections[2]
    for place in saving.PLACES:
        assert f"\n| {place} |" in sections[3]
    for case in recovery.CASES:
        assert f"\n| {case.what} |" in sections[4]
    for table in streaming.TABLES:
        assert f"\n| {table} |" in sections[5]
    for name in (federated.BARE, *federated.OURS):
        assert f"\n| {name} |" in sections[6]
    for population, cohort in federated_costs.SIZES:
        assert f"\n| {population:,} | {cohort:,} |" in sections[6]


@pytest.mark.parametrize(("load", "told"), [(0.9, False), (1.1, True)])
def test_a_busy_machine_is_told(load: float, told: bool) -> None:
    assert ("NOT quiet" in document([record("loop", LOOP, load)])) == told


def test_the_machine_is_named() -> None:
    found = machine()
    assert found["cpus"] >= 1
    assert set(LIBRARIES) <= found.keys()


def test_the_figure(tmp_path: Path) -> None:
    found = {"loop": LOOP, "launch": LAUNCH, "memory": MEMORY, "saving": SAVING}
    found = {**found, "recovery": RECOVERY, "streaming": STREAMING, "federated": FEDERATED}
    found["paths"] = PATHS
    rows = rows_of([record(name, results) for name, results in found.items()])
    assert [(label, goal) for label, _, goal in rows] == [
        ("mlp, ZeRO 3, workers 2", 1.05),
        ("launch", 1.3),
        ("memory, 64 samples", 1.0),
        ("saving, local", 1.1),
        ("streaming, lists", streaming.GOAL),
        ("ours, 2 actors", 1 / 1.4),
        (f"paths, {PATHS[0]['name']}", 1.05),
    ]
    plot_ratios(rows, tmp_path / "ratios.png")
    assert (tmp_path / "ratios.png").read_bytes().startswith(b"\x89PNG")
