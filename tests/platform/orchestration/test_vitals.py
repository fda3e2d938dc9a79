"""Memory of the place where a worker runs."""

from __future__ import annotations

from pathlib import Path

import psutil

from trainwright.orchestration.vitals import Memory, Vitals, memory_now


def test_the_limit_of_a_container_counts_without_what_can_be_dropped(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("8000\n")
    (tmp_path / "memory.current").write_text("7000\n")
    (tmp_path / "memory.stat").write_text("anon 5000\ninactive_file 1500\n")
    memory = memory_now(tmp_path)
    assert (memory.used, memory.limit) == (5500, 8000)


def test_an_older_kernel_says_it_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / "memory"
    folder.mkdir()
    (folder / "memory.limit_in_bytes").write_text("8000")
    (folder / "memory.usage_in_bytes").write_text("6000")
    (folder / "memory.stat").write_text("inactive_file 7\ntotal_inactive_file 1000\n")
    memory = memory_now(tmp_path)
    assert (memory.used, memory.limit) == (5000, 8000)


def test_without_a_limit_it_is_the_machine_s(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("max\n")
    assert memory_now(tmp_path).limit == psutil.virtual_memory().total
    assert memory_now(tmp_path / "none").limit == psutil.virtual_memory().total


def test_the_peak_is_kept_as_long_as_it_is_the_same_process() -> None:
    low, high = Memory(1, 3 * 10**9, 8 * 10**9), Memory(2, 7 * 10**9, 8 * 10**9)
    early = Vitals("n", "h", 7, "group", "log", high)
    late = Vitals("n", "h", 7, "group", "log", low, leaving=True)
    assert late.since(early).memory is high
    assert late.since(early).leaving
    assert late.since(None) is late
    assert Vitals("n", "h", 8, "group", "log", low).since(early).memory is low
    assert str(high) == "7.0 of 8.0 GB were in use, 0.0 GB by this worker"
