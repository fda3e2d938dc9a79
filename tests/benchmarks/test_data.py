"""The benchmark of data: what its sides give, and how it looks at them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from data import bare, measure, ours
from data.files import tensors_of, write_files
from data.work import BATCH, Arrays, Batch, Seen, Way

ROWS = 4096
MEMORY = {"ours": ours.in_memory, "PyTorch": bare.ByIndex, "numpy": bare.ByNumpy}
MEMORY["pyarrow"] = bare.ByArrow
STREAMING = {"ours": ours.streamed, "scan": bare.Scan, "views": lambda f: bare.Scan(f, None)}


def saved(kind: str, layout: str | None, folder: Path) -> Arrays:
    arrays = Arrays.made(kind, ROWS)
    arrays.save(folder)
    if layout is not None:
        write_files(arrays, layout, folder / "files")
    return arrays


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
@pytest.mark.parametrize("kind", ["vectors", "images"])
@pytest.mark.parametrize("make", MEMORY.values(), ids=MEMORY)
def test_sides_in_memory_give_every_row_once(
    make: Callable[[Path], Way], kind: str, tmp_path: Path
) -> None:
    check(make, saved(kind, None, tmp_path), tmp_path)


@pytest.mark.parametrize("layout", ["columns", "lists"])
@pytest.mark.parametrize("make", STREAMING.values(), ids=STREAMING)
def test_streaming_sides_give_every_row_once(
    make: Callable[[Path], Way], layout: str, tmp_path: Path
) -> None:
    check(make, saved("vectors", layout, tmp_path), tmp_path)


def check(make: Callable[[Path], Way], arrays: Arrays, folder: Path) -> None:
    way = make(folder)
    seen = Seen(arrays, way.key)
    for number in range(2):
        seen.go_through(way.epoch(number))
    seen.check()
    first = next(iter(way.epoch(2)))
    assert len(first["x"]) == len(first["target"]) == BATCH


def test_our_feeds_go_on_where_they_were(tmp_path: Path) -> None:
    saved("vectors", "lists", tmp_path)
    for make in (ours.in_memory, ours.streamed):
        way = make(tmp_path)
        *_, middle = (batch for batch, _ in zip(way.epoch(0), range(9), strict=False))
        assert way.stop()["x"].equal(middle["x"])
        assert way.resume()["x"].equal(middle["x"])


def test_what_a_side_does_wrong_is_seen() -> None:
    arrays = Arrays.made("vectors", 600)

    def batches() -> list[Batch]:
        cut = {name: column.split(BATCH) for name, column in arrays.tensors().items()}
        return [{name: cut[name][place] for name in cut} for place in range(3)]

    right, twice, other = batches(), batches(), batches()
    twice[0] = twice[1]
    other[-1]["x"] = other[-1]["x"] + 1
    seen = Seen(arrays, "id")
    seen.go_through(right)
    seen.check()
    for wrong, words in (
        (twice, "not every row once"),
        (right[:2], "512 rows"),
        (other, "not close"),
    ):
        seen = Seen(arrays, "id")
        seen.go_through(wrong)
        with pytest.raises(AssertionError, match=words):
            seen.check()


def test_files_hold_the_samples(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    for layout in ("columns", "lists"):
        arrays = saved_in(tmp_path / layout, layout)
        rows = tensors_of(pq.read_table(tmp_path / layout / "files" / "part-1.parquet"))
        assert rows["x"].equal(torch.from_numpy(arrays.x[512:1024]))
        assert rows["target"].tolist() == list(range(512, 1024))


def saved_in(folder: Path, layout: str) -> Arrays:
    folder.mkdir()
    return saved("vectors", layout, folder)


@pytest.mark.slow
def test_a_short_form(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the peers of other environments, which then count as not installed."""
    monkeypatch.setattr(measure, "python_of", lambda name: None)
    before = set(Path(tempfile.gettempdir()).iterdir())
    for case in (measure.CASES[0], measure.CASES[-1]):
        small = measure.Case(case.name, case.kind, ROWS, 1, case.layout)
        sides = {row.name: row for row in measure.compare(small, pairs=1).sides}
        assert sides["StatefulDataLoader"].epoch is None
        for name in sides.keys() - {"StatefulDataLoader", "datasets"}:
            assert sides[name].epoch.median > 0
        assert sides["ours"].is_exact
        assert sides["ours"].ratio is None
    left = set(Path(tempfile.gettempdir()).iterdir()) - before
    assert not [path for path in left if list(path.glob("**/part-*.parquet"))]
