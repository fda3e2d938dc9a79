"""The benchmark on a GPU: its arithmetic, and its sides in a tiny form on the CPU."""

from __future__ import annotations

from dataclasses import asdict

import pytest
import torch
from common.pairs import Ratio, Side
from scaling import gpu
from scaling.flops import Shape, peak_of, utilisation
from torch.utils.flop_counter import FlopCounterMode

import trainwright

TINY = Shape(dim=32, depth=2, heads=2, length=16, vocabulary=64, samples=4)


def test_weights_and_operations_are_those_of_the_model() -> None:
    """Against torch's own count of the products of forward and backward."""
    model = trainwright.create(
        "models",
        "gpt",
        vocabulary_size=64,
        sequence_length=16,
        attention="math",
        **{"dim": TINY.dim, "depth": TINY.depth, "heads": TINY.heads},
    )
    positions = TINY.length * TINY.dim
    assert TINY.parameters == sum(p.numel() for p in model.parameters()) - positions
    counter = FlopCounterMode(display=False)
    with counter:
        model(torch.zeros(TINY.samples, TINY.length, dtype=torch.int64))["logits"].sum().backward()
    # 6 N counts biases and norms, which are no products: some per cent of a tiny model.
    assert TINY.flops == pytest.approx(counter.get_total_flops(), rel=0.05)


def test_the_large_one_is_gpt_2() -> None:
    assert gpu.LARGE.parameters == pytest.approx(124e6, rel=0.01)
    per_token = 6 * gpu.LARGE.parameters + 12 * 12 * 768 * 1024
    assert gpu.LARGE.flops == pytest.approx(16 * 1024 * per_token)
    assert utilisation(gpu.LARGE, gpu.LARGE.flops / 312e12, 312e12) == pytest.approx(1.0)


def test_peaks_of_devices() -> None:
    assert peak_of("NVIDIA H100 80GB HBM3") == 989e12
    assert peak_of("NVIDIA H100 PCIe") == 756e12
    assert peak_of("NVIDIA L4") == 121e12
    assert peak_of("NVIDIA L40S") == 362e12
    assert peak_of("a toaster") is None


def test_without_a_gpu_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    results = gpu.run(3, quick=True)
    assert "no CUDA device" in capsys.readouterr().err
    assert gpu.tables(results) == ["There is no CUDA device on this machine: nothing was measured."]


def test_a_table() -> None:
    seconds = Side(0.2, 0.19, 0.21)
    found = gpu.GpuSide("local", seconds, 81920.0, 0.22, Ratio(1.01, 1.0, 1.02, 9), 0.0)
    results = {"device": "a GPU", "shape": asdict(gpu.LARGE), "sides": [asdict(found)]}
    line = gpu.tables(results)[-1]
    assert line == (
        "| local | 200.00 (190.00 to 210.00) | 80.0 | 81,920 | 22.0% | 1.010 [1.000, 1.020] |"
    )


@pytest.mark.slow
def test_the_sides_train_alike_on_the_cpu() -> None:
    work = gpu.Work(TINY, 4, torch.device("cpu"), precision="fp32", compiled=False)
    sides = {side.name: side for side in gpu.measure(work)}
    assert sides.keys() == {"bare loop", "local", "deepspeed"}
    assert max(side.worst_loss_difference for side in sides.values()) < 1e-4
    assert all(side.utilisation is None and side.seconds.median > 0 for side in sides.values())
