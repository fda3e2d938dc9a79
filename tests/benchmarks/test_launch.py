"""The parts of the launch benchmark, and both benchmarks in their quick form."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest
import torch
import yaml
from launch.measure import STAGES, durations, medians
from launch.stamps import process_start, read_stamps, session_start, stamp

import trainwright

ROOT = Path(__file__).resolve().parents[2]


def test_stages_add_up() -> None:
    stamps = {stage: 100.0 + (2.0 ** (place + 1)) for place, stage in enumerate(STAGES)}
    assert durations(100.0, stamps) == {
        "driver": 2.0,
        "init": 2.0,
        "controller": 4.0,
        "worker": 8.0,
        "data": 16.0,
        "engine": 32.0,
        "update": 64.0,
        "total": 128.0,
    }


def test_medians_by_stage() -> None:
    assert medians([{"a": 1.0, "b": 5.0}, {"a": 9.0, "b": 7.0}, {"a": 2.0, "b": 6.0}]) == {
        "a": 2.0,
        "b": 6.0,
    }


def test_stamps_of_several_calls(tmp_path: Path) -> None:
    file = tmp_path / "stamps.jsonl"
    before = time.time()
    stamp(str(file), "worker", process_start())
    stamp(str(file), "data")
    found = read_stamps(file)
    assert list(found) == ["worker", "data"]
    assert found["worker"] < before <= found["data"] <= time.time()


def test_a_process_was_created_within_hundredths_of_its_start() -> None:
    before = time.time()
    code = "from launch.stamps import process_start; print(process_start())"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "jobs/benchmarks")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert before - 0.05 < float(done.stdout) < time.time()


def test_the_time_in_the_name_of_a_session() -> None:
    began = time.time()
    stamped = datetime.fromtimestamp(began).strftime("session_%Y-%m-%d_%H-%M-%S_%f_77")
    assert session_start(stamped) == pytest.approx(began, abs=1e-5)


def test_both_sides_have_the_same_samples() -> None:
    from launch.bare import digits

    ours = trainwright.create("datasets", "digits").tensors
    images, targets = digits()
    assert images.equal(ours["image"])
    assert targets.equal(ours["target"])


def test_the_bare_script_trains_the_network_of_the_job() -> None:
    """Same weights, same outputs: launch/bare.py says what launch.yaml says."""
    from launch.bare import CONFIG, network

    job = yaml.safe_load((ROOT / "jobs/benchmarks/launch/launch.yaml").read_text())
    name, options = job["model"]["name"], {k: v for k, v in job["model"].items() if k != "name"}
    ours = trainwright.create("models", name, in_channels=1, out_features=10, **options).eval()
    bare = network().eval()
    bare.load_state_dict(
        dict(zip(bare.state_dict(), ours.state_dict().values(), strict=True)), strict=True
    )
    x = torch.randn(3, 1, 8, 8)
    assert torch.allclose(bare(x), ours(x)["logits"], atol=1e-6)
    assert CONFIG["zero_optimization"]["stage"] == job["deepspeed"]["zero_optimization"]["stage"]
    workers = job["cluster"]["workers"]
    assert CONFIG["train_micro_batch_size_per_gpu"] * workers == job["data"]["batch_size"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_quick_form() -> None:
    command = [sys.executable, str(ROOT / "jobs/benchmarks/run_all.py"), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stderr
    assert "| mlp | 0 | 1 | 3 |" in done.stdout
    assert "| convnet | 0 | 1 | 3 |" in done.stdout
    assert "Command to first update: ours" in done.stdout


def test_a_misspelt_benchmark_is_told() -> None:
    command = [sys.executable, str(ROOT / "jobs/benchmarks/run_all.py"), "lop"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "no benchmark lop: there are loop, " in done.stderr
