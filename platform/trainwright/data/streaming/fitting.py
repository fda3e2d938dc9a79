"""Fitting transforms where the table cannot be gone through beforehand."""

from __future__ import annotations

from trainwright.data.rows import Rows
from trainwright.data.streaming.table import StreamedTable
from trainwright.data.transforms import TransformChain
from trainwright.errors import DataError, Problem


def fit_on_sample(chain: TransformChain, table: Rows, path: str) -> None:
    """Fit a chain on a part of a streamed table that is the same on every worker.

    Args:
        chain: transforms.
        table: a streamed one.
        path: dotted path of the transforms in the job, for error messages.

    Raises:
        DataError: a transform needs all rows, or does not fit the data.
    """
    assert isinstance(table, StreamedTable)
    problems = [
        Problem(
            f"{path}.{index}",
            f"{name} has to see every row before training, which a streamed table does not allow",
            mend="leave data.streaming out, or write the files with what the transform makes",
        )
        for index, name in chain.needing_all_rows
    ]
    if problems:
        raise DataError(problems)
    chain.fit(table.sample() if chain.learns else table.head(1))
