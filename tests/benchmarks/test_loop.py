"""The loop benchmark in a short form, in the shared worker processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def measure_here(root: str, folder: str, case: tuple[Any, ...]) -> dict[str, Any] | None:
    import sys
    from dataclasses import asdict

    sys.path.append(f"{root}/jobs/benchmarks")
    from loop.measure import measure
    from loop.sides import Case

    from trainwright.tracking import JournalWriter

    before = JournalWriter.__init__
    result = measure(Case(*case), Path(folder))
    assert JournalWriter.__init__ is before
    return None if result is None else asdict(result)


def check(result: dict[str, Any], pairs: int) -> None:
    assert result["worst_loss_difference"] <= 1e-5
    for ratio in (result["wall"], result["cpu"]):
        assert ratio["pairs"] == pairs
        assert 0 < ratio["low"] <= ratio["median"] <= ratio["high"]


@pytest.mark.slow
def test_a_short_form_with_one_worker(one_worker: Any, tmp_path: Path) -> None:
    case = ("mlp", 0, 1, 16, 3, 5)
    [result] = one_worker.run(measure_here, str(ROOT), str(tmp_path / "run"), case)
    check(result, pairs=3)


@pytest.mark.slow
def test_a_short_form_with_two_workers(two_workers: Any, tmp_path: Path) -> None:
    case = ("convnet", 2, 2, 16, 2, 4)
    first, other = two_workers.run(measure_here, str(ROOT), str(tmp_path / "run"), case)
    check(first, pairs=2)
    assert other is None


def test_losses_that_differ_are_noticed() -> None:
    from loop.measure import worst_difference

    assert worst_difference([1.0, 2.0], [1.0, 1.5]) == 0.5
    with pytest.raises(AssertionError, match="2 losses and 1"):
        worst_difference([1.0, 2.0], [1.0])
