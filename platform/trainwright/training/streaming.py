"""What cannot be done with a streamed table."""

from __future__ import annotations

from collections.abc import Sequence

from trainwright.data.outline import Outline
from trainwright.data.rows import Rows
from trainwright.errors import JobError, Problem
from trainwright.job.models import TrainJob
from trainwright.strategy import Strategy
from trainwright.strategy.compose import using


def refuse_streaming(
    job: TrainJob, table: Rows, strategies: Sequence[Strategy], group: str | None
) -> None:
    """Refuse what needs an order of its own where the order is that of the files.

    Args:
        job: whose data may be streamed.
        table: the training samples; a trained model's outline stands for any.
        strategies: in job order.
        group: the column whose groups are kept whole, if any.

    Raises:
        JobError: a strategy chooses or weights the samples of an epoch, or an objective couples
            groups of samples.
    """
    if job.data.streaming is None or isinstance(table, Outline):
        return
    mend = "leave data.streaming out, with a table that fits into memory"
    problems = [
        Problem(
            f"strategies.{index}",
            f"{spec.name} chooses which samples an epoch holds and how they are weighted, which a "
            "streamed table does not allow: its samples come in the order of their files",
            mend=f"remove it, or {mend}",
        )
        for index, (spec, strategy) in enumerate(zip(job.strategies, strategies, strict=True))
        if using([strategy], "order")
    ]
    if group is not None:
        message = f"the objective keeps the groups of column {group!r} whole, which lie anywhere"
        problems.append(Problem("objective", f"{message} in a streamed table", mend=mend))
    if problems:
        raise JobError(problems)
