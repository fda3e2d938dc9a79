"""The sampler of system metrics: sane figures, in the journal, at low cost."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from trainwright.storage import Folder
from trainwright.tracking import JournalWriter, read_lineage
from trainwright.tracking.system import SystemSampler


def test_samples_reach_the_journal_with_the_step(
    tmp_path: Path, wait_until: Callable[..., None]
) -> None:
    folder = Folder(str(tmp_path))

    def rows() -> list[Any]:
        return [row for row in read_lineage(folder) if row["kind"] == "metrics"]

    with JournalWriter(folder, 1, [], 1) as journal:
        sampler = SystemSampler(journal, lambda: 7, interval_s=0.05)
        wait_until(lambda: journal.flush(1) and len(rows()) >= 2)
        sampler.stop()
    assert {row["step"] for row in rows()} == {7}
    values = rows()[-1]["values"]
    assert 0 <= values["system/cpu_utilization_percentage"] <= 100
    assert 10 < values["system/process_memory_megabytes"] < 1e5
    assert 0 < values["system/system_memory_usage_percentage"] < 100
    assert 0 < values["system/disk_usage_percentage"] <= 100


def test_a_sample_is_cheap(tmp_path: Path) -> None:
    with JournalWriter(Folder(str(tmp_path)), 1, [], 1) as journal:
        sampler = SystemSampler(journal, lambda: 0, interval_s=60)
        began = time.process_time()
        for _ in range(50):
            sampler.sample()
        assert (time.process_time() - began) / 50 < 0.01
        sampler.stop()


def test_a_gpu_in_use_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def utilization(device: int) -> int:
        asked.append(device)
        raise ModuleNotFoundError("pynvml")

    cuda = SimpleNamespace(
        is_initialized=lambda: True,
        current_device=lambda: 1,
        mem_get_info=lambda device: (3_000_000_000, 4_000_000_000),
        memory_allocated=lambda device: 500_000_000,
        utilization=utilization,
    )
    with JournalWriter(Folder(str(tmp_path)), 1, [], 1) as journal:
        sampler = SystemSampler(journal, lambda: 0, interval_s=60)
        monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
        values = sampler.sample()
        assert values["system/gpu_1_memory_usage_megabytes"] == 1000.0
        assert values["system/gpu_1_memory_usage_percentage"] == 25.0
        assert values["system/gpu_1_allocated_megabytes"] == 500.0
        assert "system/gpu_1_utilization_percentage" not in values
        sampler.sample()
        assert asked == [1], "what is not installed is asked for once"
        cuda.is_initialized = lambda: False
        assert not any("gpu" in name for name in sampler.sample())
        sampler.stop()


def test_a_vanished_disk_ends_the_sampling_quietly(tmp_path: Path) -> None:
    with JournalWriter(Folder(str(tmp_path)), 1, [], 1) as journal:
        sampler = SystemSampler(journal, lambda: 0, disk="/nonexistent", interval_s=0.02)
        sampler._thread.join(60)
        assert not sampler._thread.is_alive()
        sampler.stop()
