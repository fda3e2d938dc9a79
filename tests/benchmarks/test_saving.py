"""The benchmark of checkpoints in a short form."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import psutil
import pytest
from common.pairs import Side, ratio_of
from saving import benchmark, measure, sizes
from saving.torch_ways import TORCH, Trained
from saving.ways import Measured, Ours

from trainwright.storage import Folder


def test_a_short_form() -> None:
    result = measure.compare("local", pairs=2, width=40)
    assert result.ratio.pairs == 2
    assert 0 < result.ratio.low <= result.ratio.median <= result.ratio.high
    assert result.size_bytes > 4 * 40 * 40 * 4 * 3
    assert 0 < result.pause.median < result.writing.median
    assert result.background.median > 0
    assert result.server is None


def test_what_other_threads_and_the_server_take_is_measured(tmp_path: Path) -> None:
    trainee = measure.Trainee(Folder(str(tmp_path)), psutil.Process(), width=40)
    trainee.with_checkpoint()
    # This process stands for the server, in steps of a clock's tick.
    assert trainee.servers[0] > trainee.backgrounds[0] - 0.02
    assert trainee.backgrounds[0] > 0
    trainee.forget()
    assert trainee.servers == trainee.backgrounds == []


def test_the_server_has_the_lowest_priority() -> None:
    with measure.storage("s3") as (_, server):
        assert server is not None
        assert server.nice() == 19


@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
def test_all_ways_restore_what_they_save(tmp_path: Path) -> None:
    measured = Measured(Trained(200_000), str(tmp_path))
    measured.turn()
    measured.turn()
    assert set(measured.seconds) == {"ours", *TORCH}
    for stalls, written, restored in measured.seconds.values():
        assert len(stalls) == len(written) == len(restored) == 2
        assert all(0 < stall <= whole for stall, whole in zip(stalls, written, strict=True))


def test_a_way_that_restores_something_else_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saving.ways.TORCH", {})
    restore = Ours.restore

    def broken(self: Ours) -> None:
        restore(self)
        self.trained.tensors()[-2][0] += 1e-8

    measured = Measured(Trained(20_000), str(tmp_path))
    measured.turn()
    monkeypatch.setattr(Ours, "restore", broken)
    with pytest.raises(AssertionError, match="ours restores something else"):
        measured.turn()


def test_a_state_has_the_size_that_was_asked_for() -> None:
    trained = Trained(1_000_000)
    size = sum(tensor.numel() * tensor.element_size() for tensor in trained.tensors())
    assert size == pytest.approx(1_000_000, rel=0.05)
    assert all(bool(tensor.any()) for tensor in trained.tensors())


def test_tables_and_figure_of_sizes(tmp_path: Path) -> None:
    def row(place: str, megabytes: int, way: str, factor: float) -> sizes.WayRow:
        seconds = [0.1 * factor, 0.2 * factor]
        against = None if way == "ours" else ratio_of([0.1, 0.2], seconds)
        side = Side.of(seconds)
        return sizes.WayRow(place, megabytes, way, 2, side, side, side, against, against, against)

    rows = [
        asdict(row(place, megabytes, way, factor))
        for place in measure.PLACES
        for megabytes in (10, 60)
        for way, factor in (("ours", 1.0), ("torch.save", 4.0))
    ]
    lines = benchmark.tables({"training": [], "sizes": rows})
    line = next(line for line in lines if line.startswith("| local | 60 | 2 | torch.save |"))
    assert "| 600.00 (500.00 to 700.00) |" in line
    assert "| 100 |" in line  # MB/s
    assert line.count("0.250 [0.250, 0.250]") == 3
    assert next(line for line in lines if "| ours |" in line).endswith("| - | - | - |")
    benchmark.draw({"sizes": rows}, tmp_path / "saving.svg")
    assert "torch.save, s3" in (tmp_path / "saving.svg").read_text()


def test_large_states_are_measured_fewer_times(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int, int]] = []
    monkeypatch.setattr(sizes, "_rows", lambda *case: asked.append(case) or [])
    sizes.compare(14, quick=False)
    assert ("local", 10, 14) in asked
    assert ("local", 156, 5) in asked
    assert ("s3", 600, 2) in asked
    assert len(asked) == 8
