"""The feed of a table, in memory or streamed."""

from __future__ import annotations

from typing import Any

from trainwright.data.rows import Rows
from trainwright.data.table import Table
from trainwright.data.transforms import TransformChain
from trainwright.training.feed import Feed, TableFeed
from trainwright.training.orders import Orders
from trainwright.training.timetable import Timetable


def make_feed(
    table: Rows,
    transforms: TransformChain,
    timetable: Timetable,
    *,
    orders: Orders,
    **options: Any,
) -> Feed:
    """The feed of a table.

    Args:
        table: the samples, in memory or streamed.
        transforms: applied to each micro-batch.
        timetable: the cuts of an epoch into updates.
        orders: the order of each epoch.
        options: further ones that both feeds have, see :class:`TableFeed`.
    """
    if isinstance(table, Table):
        return TableFeed(table, transforms, timetable, orders=orders, **options)
    from trainwright.data.streaming.table import StreamedTable
    from trainwright.training.streamed_feed import StreamedFeed

    assert isinstance(table, StreamedTable)
    order = table.order(orders.seed, orders.shuffle)
    return StreamedFeed(table, transforms, timetable, order=order, **options)
