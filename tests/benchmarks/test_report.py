"""RESULTS.md: what is written for made-up measurements."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import run_all
from benchmark_records import (
    DATA,
    FEDERATED,
    LAUNCH,
    LOOP,
    MEMORY,
    PATHS,
    RECOVERY,
    SAVING,
    made_ratio,
    record,
)
from common import report
from common.models import MODELS
from common.plots import plot_ratios
from common.report import HEAD, LIBRARIES, machine
from common.words import verdict
from data import measure as data
from federated import costs
from federated import measure as federated
from launch import measure as launch
from launch.benchmark import STAGE_WORDS, draw
from loop import measure as loop
from memory import measure as memory
from paths import measure as paths
from recovery import measure as recovery
from saving import measure as saving


def document(records: list[dict[str, Any]]) -> str:
    return report.document(run_all.BENCHMARKS, records)


RESULTS = Path(__file__).resolve().parents[2] / "jobs" / "benchmarks" / "RESULTS.md"


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ((1.01, 1.0, 1.02), "met"),
        ((1.02, 1.0, 1.03), "missed by the upper end"),
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
        "| 1.041 [1.030, 1.060] | 1.020 [1.010, 1.030] | 1.05 | missed by the upper end "
        "| 30,476 samples | 32,000 samples | 150 | 160 |"
    )
    assert expected in text.splitlines()
    assert "2030-01-02, `run loop`, 61 s, commit abc1234" in text
    assert "2 CPUs (Abacus), no GPU; python 3.11, torch 1.0" in text


def test_the_launch_section() -> None:
    text = document([record("launch", LAUNCH)])
    assert "Ratio 1.400 [1.350, 1.500] over 20 pairs, goal 1.3: missed." in text
    assert "ours 14.00 (13.00 to 15.00) s, bare 10.00 (9.00 to 11.00) s" in text
    assert f"| {STAGE_WORDS['engine']} | 2.80 | 2.00 |" in text.splitlines()
    assert "| a mistake | 1.50 (1.40 to 1.75) |" in text.splitlines()


def test_the_stages_are_drawn(tmp_path: Path) -> None:
    draw(LAUNCH, tmp_path / "launch.svg")
    text = (tmp_path / "launch.svg").read_text()
    assert all(word in text for stage, word in STAGE_WORDS.items() if stage != "total")


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


def test_the_data_section() -> None:
    lines = document([record("data", DATA)]).splitlines()
    assert "lists: 200,000 rows, batches of 256." in lines
    assert (
        "| ours | windows | 100.00 (100.00 to 200.00) | 2.00 | - | - | - | - "
        "| the next batch | 10.00 (10.00 to 20.00) |"
    ) in lines
    assert (
        "| scan | nothing | 80.00 (80.00 to 80.00) | 2.50 | 1.250 [1.200, 1.300] | 20 | 1.10 "
        "| missed | - | - |"
    ) in lines
    assert "| loader | a buffer | not installed | - | - | - | - | - | - | - |" in lines
    assert [line for line in lines if "`make peers` tries again" in line]


def test_the_federated_section() -> None:
    lines = document([record("federated", FEDERATED)]).splitlines()
    assert (
        "| ours, 2 actors | 20.00 (10.00 to 30.00) | 5000 | 0.500 [0.400, 0.600] | 0.714 | met "
        "| 0.030 [0.020, 0.050] | 0.040 | missed by the upper end | 9.9 | 0.912 |"
    ) in lines
    assert (
        "| bare loop | 20.00 (10.00 to 30.00) | 5000 | 1.000 [1.000, 1.000] | - | - "
        "| - | - | - | 2.0 | 0.900 |"
    ) in lines
    assert "| 1,000,000 | 100 | 20.00 (10.00 to 30.00) | 0.200 | 4.5 |" in lines
    assert not [line for line in lines if "make peers" in line]
    alone = {**FEDERATED, "rows": FEDERATED["rows"][1:]}
    assert "`make peers` tries again" in document([record("federated", alone)])


def test_the_committed_results_hold_every_case_with_its_goal() -> None:
    """RESULTS.md is renewed by ``make bench``; an older form of it is noticed here."""
    head, *sections = RESULTS.read_text().split("\n## ")
    assert head.strip().startswith(HEAD.strip())
    text = {section.split()[0]: section for section in sections}
    assert list(text) == [name for name in run_all.NAMED if name != "gpu" or name in text]
    for case in loop.cases(pairs=1):
        start, goal = f"| {case.model} | {case.stage} | {case.workers} |", MODELS[case.model].goal
        [row] = [line for line in text["loop"].splitlines() if line.startswith(start)]
        assert f"| {goal} |" in row
    assert f"goal {launch.GOAL}" in text["launch"]
    starts = {
        "memory": memory.SAMPLES,
        "saving": saving.PLACES,
        "recovery": [case.what for case in recovery.CASES],
        "paths": [net.name for net in paths.SUPERNETS],
        "federated": [
            *(federated.BARE, *federated.OURS),
            *(f"{population:,} | {cohort:,}" for population, cohort in costs.SIZES),
        ],
    }
    for case in data.CASES:
        assert f"\n{case.name}: " in text["data"]
    for name, firsts in starts.items():
        for first in firsts:
            assert f"\n| {first} |" in text[name]


def test_results_are_written_with_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_all, "HERE", tmp_path)
    monkeypatch.setattr(run_all, "FIGURES", tmp_path / "figures")
    text = run_all.publish([record("loop", LOOP), record("recovery", RECOVERY)])
    assert (tmp_path / "RESULTS.md").read_text() == text
    assert "](figures/ratios.svg)" in text
    assert (tmp_path / "figures" / "ratios.svg").read_text().endswith("</svg>\n")
    assert "](figures/loop.svg)" in text


def test_what_was_measured_elsewhere_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run_all, "HERE", tmp_path)
    monkeypatch.setattr(run_all, "FIGURES", tmp_path / "figures")
    whole = run_all.publish([record("loop", LOOP), record("recovery", RECOVERY)])
    assert capsys.readouterr().out == ""
    added = run_all.publish([record("memory", MEMORY)])
    assert capsys.readouterr().out.endswith("as they were: loop, recovery\n")
    sections = report.sections_of(added)
    assert list(sections) == ["loop", "memory", "recovery"]
    assert sections["loop"].strip() in whole
    drawn = json.loads((tmp_path / "figures" / "ratios.json").read_text())
    assert list(drawn) == ["loop", "memory"], "in the order of the sections; recovery has none"
    figure = (tmp_path / "figures" / "ratios.svg").read_text()
    for rows in drawn.values():
        assert all(label in figure for label, _, _ in rows)
    assert run_all.publish([record("memory", MEMORY)]) == added
    both = [record("loop", LOOP), record("memory", MEMORY), record("recovery", RECOVERY)]
    assert report.sections_of(run_all.publish(both)) == sections


@pytest.mark.parametrize(("load", "told"), [(0.9, False), (1.1, True)])
def test_a_busy_machine_is_told(load: float, told: bool) -> None:
    assert ("NOT quiet" in document([record("loop", LOOP, load)])) == told


def test_code_that_is_not_committed_is_told() -> None:
    made = record("loop", LOOP)
    assert "commit abc1234  \n" in document([made])
    made["machine"]["changed"] = True
    assert "commit abc1234 with changes  \n" in document([made])


def test_versions_of_peers_are_told() -> None:
    made = record("loop", LOOP)
    assert "peers" not in document([made])
    made["peers"] = {"flower": {"flwr": "1.0", "torch": "2.0"}, "data": {"datasets": "3.0"}}
    assert "peers' environments: flower: flwr 1.0, torch 2.0; data: datasets 3.0  \n" in document(
        [made]
    )


def test_the_machine_is_named() -> None:
    found = machine()
    assert found["cpus"] >= 1
    assert set(LIBRARIES) <= found.keys()


def test_the_figure(tmp_path: Path) -> None:
    found = {"loop": LOOP, "launch": LAUNCH, "memory": MEMORY, "saving": SAVING}
    found = {**found, "recovery": RECOVERY, "data": DATA, "federated": FEDERATED}
    found["paths"] = PATHS
    rows = [row for name, results in found.items() for row in run_all.NAMED[name].ratios(results)]
    assert [(label, goal) for label, _, goal in rows] == [
        ("mlp, ZeRO 3, workers 2", 1.05),
        ("launch", 1.3),
        ("memory, 64 samples", 1.0),
        ("saving, local", 1.1),
        ("lists: scan", 1.1),
        ("federated, ours, 2 actors", 1 / 1.4),
        (f"paths, {PATHS[0]['name']}", 1.05),
    ]
    plot_ratios(rows, tmp_path / "ratios.png")
    assert (tmp_path / "ratios.png").read_bytes().startswith(b"\x89PNG")
