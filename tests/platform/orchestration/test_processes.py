"""The environment of worker processes, and memory that is kept for the next step."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from trainwright.orchestration.processes import TUNABLES, worker_environment

DECIDING = ("GLIBC_TUNABLES", "LD_PRELOAD", "MALLOC_ARENA_MAX")

STEPS = """
import resource, sys
import torch
if sys.argv[1] == "reuse":
    from trainwright.orchestration.processes import reuse_memory
    reuse_memory()
def step():
    pieces = [torch.ones(size * 2**18) for size in (3, 5, 8, 13, 21, 34)]
for _ in range(4):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(8):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
PAGES_OF_A_STEP = (3 + 5 + 8 + 13 + 21 + 34) * 2**20 // 4096


@pytest.fixture(autouse=True)
def undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in DECIDING:
        monkeypatch.delenv(name, raising=False)


def _page_faults(mode: str, environment: dict[str, str]) -> int:
    command = [sys.executable, "-c", STEPS, mode]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    return int(done.stdout)


def test_a_worker_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert worker_environment(2.5, uses_gpu=False) == {
        "OMP_NUM_THREADS": "2",
        "DS_ACCELERATOR": "cpu",
        "GLIBC_TUNABLES": TUNABLES,
    }


def test_what_the_user_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert worker_environment(0.5, uses_gpu=True)["OMP_NUM_THREADS"] == "7"


@pytest.mark.parametrize("name", DECIDING)
def test_an_allocator_that_the_user_chose_is_left_alone(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "")
    assert "GLIBC_TUNABLES" not in worker_environment(1, uses_gpu=False)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc only")
def test_the_memory_of_a_step_serves_the_next() -> None:
    assert _page_faults("plain", {}) > 2 * PAGES_OF_A_STEP
    assert _page_faults("reuse", {}) < PAGES_OF_A_STEP
    assert _page_faults("plain", worker_environment(1, uses_gpu=False)) < PAGES_OF_A_STEP
