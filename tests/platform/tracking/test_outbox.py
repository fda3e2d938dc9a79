"""What is still to be sent, over a store that refuses now and then."""

from __future__ import annotations

from pathlib import Path

import pytest
from journals import write_steps

from trainwright.storage import Folder
from trainwright.tracking import files
from trainwright.tracking.covered import Ranges
from trainwright.tracking.outbox import Outbox


def sent(folder: Folder, covered: dict[str, Ranges]) -> tuple[list[tuple[str, int]], int]:
    """Key and step of everything that is sent, and how often the store refused meanwhile."""
    outbox = Outbox(folder, covered)
    found: list[tuple[str, int]] = []
    refusals = 0
    while True:
        try:
            outbox.refresh()
            batch = outbox.next_batch(3)
        except ConnectionError:
            refusals += 1
            continue
        outbox.commit(batch)
        found += [(point.key, point.step) for point in batch.points]
        if not batch.points and not batch.covers:
            return found, refusals


@pytest.mark.parametrize("moment", range(12))
def test_a_read_that_fails_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    """Whichever it is: of the list of attempts, of their first rows, of the rows to be sent."""
    folder = Folder(str(tmp_path))
    write_steps(folder, 1, range(1, 6))
    write_steps(folder, 2, range(4, 9), past=(1, 3))
    read, reads = files._read, 0

    def failing(*arguments: object) -> bytes:
        nonlocal reads
        reads += 1
        if reads == moment + 1:
            raise ConnectionError("the answer was cut off")
        return read(*arguments)

    monkeypatch.setattr(files, "_read", failing)
    found, refusals = sent(folder, {})
    assert refusals == (1 if reads > moment else 0)
    assert refusals == 1 or moment > 6
    assert sorted(found) == sorted(
        (key, step) for key in ("odd", "train/loss") for step in range(1, 9)
    )
