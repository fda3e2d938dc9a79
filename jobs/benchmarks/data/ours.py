"""Our feeds, as the training loop has them, for the benchmark of data.

python -m data.ours LINE BLOCK WAY ASK FOLDER, started by ``measure.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data.files import feature_names
from data.work import BATCH, Arrays, Batch, serve
from trainwright.data.files.location import find_files
from trainwright.data.order import split_updates
from trainwright.data.rows import Rows
from trainwright.data.streaming.table import StreamedTable
from trainwright.data.table import SAMPLE_ID, Table
from trainwright.data.transforms import TransformChain
from trainwright.data.transforms.standardize import Standardize
from trainwright.job.models import ColumnSpec
from trainwright.job.streaming_spec import StreamingSpec
from trainwright.training.feed import Feed
from trainwright.training.feeds import make_feed
from trainwright.training.orders import Orders
from trainwright.training.timetable import Timetable

NEVER = 10**9


class Ours:
    """A feed of one worker.

    Args:
        table: the samples.
        transforms: fitted.
    """

    key = SAMPLE_ID

    def __init__(self, table: Rows, transforms: TransformChain) -> None:
        self._table = table
        self._transforms = transforms
        self._updates = tuple(split_updates(len(table), BATCH, 1))
        self._kept: Feed | None = None
        self._next = 0

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of the updates of an epoch."""
        steps = len(self._updates)
        feed = self._feed(number)
        for index in range(number * steps, (number + 1) * steps):
            yield feed[index].batches[0]
        feed.close()

    def stop(self) -> Batch:
        """An update's number is all there is to note."""
        self._next = len(self._updates) // 2
        return self.resume()

    def resume(self) -> Batch:
        """A new feed is asked for the update."""
        feed = self._new_feed(1)
        batch = feed[self._next].batches[0]
        feed.close()
        return batch

    def _feed(self, epoch: int) -> Feed:
        """In memory one for all epochs; of a stream nothing of another epoch is read meanwhile."""
        if not isinstance(self._table, Table):
            return self._new_feed(epoch + 1)
        self._kept = self._kept or self._new_feed(NEVER)
        return self._kept

    def _new_feed(self, epochs: int) -> Feed:
        steps = epochs * len(self._updates)
        timetable = Timetable(self._updates, steps, NEVER, NEVER)
        return make_feed(self._table, self._transforms, timetable, orders=Orders(0))


def in_memory(folder: Path) -> Ours:
    """A table in memory; images are standardized."""
    arrays = Arrays.load(folder)
    is_image = arrays.x.ndim == 4
    table = Table.from_arrays(
        {"x": arrays.x, "target": arrays.target},
        {"x": "image", "target": "class"} if is_image else {"x": "vector", "target": "value"},
    )
    transforms = TransformChain([("standardize", Standardize())] if is_image else [])
    transforms.fit(table)
    return Ours(table, transforms)


def streamed(folder: Path) -> Ours:
    """A streamed table."""
    files = find_files(f"{folder / 'files'}/", "auto", Path(), "data.source")
    names = feature_names(folder / "files")
    specs = {
        "x": ColumnSpec.model_validate({"type": "vector", "from": names}),
        "target": ColumnSpec.model_validate({"type": "value"}),
    }
    table = StreamedTable.open(files, specs, "data.source", StreamingSpec())
    return Ours(table, TransformChain())


if __name__ == "__main__":
    serve({"memory": in_memory, "streaming": streamed})
