"""The ``data.streaming`` section of a job: reading a table that is larger than memory."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from trainwright.job.plugin_spec import Section, from_switch

PositiveInt = Annotated[int, Field(gt=0)]


class StreamingSpec(Section):
    """How a table is read while training goes on, instead of before it."""

    WITHOUT_EFFECT = ("memory_mib", "retries")

    shards: PositiveInt = Field(
        48,
        description="pieces that are read side by side, the same for every number of workers, "
        "which must divide it; fewer need less memory",
    )
    window: PositiveInt | None = Field(
        None,
        description="rows, of all shards together, that are shuffled with one another; default: "
        "65536, or fewer where these would take more than 256 MB",
    )
    memory_mib: PositiveInt = Field(
        1024,
        description="MiB of row groups that a worker may hold in memory; where its shards need "
        "more, they are kept in the local temporary folder (TMPDIR). Changes no number",
    )
    retries: int = Field(
        5,
        ge=0,
        description="how often a read that a store refuses is tried again, after half a second, "
        "one second, two... Changes no number",
    )


Streaming = Annotated[StreamingSpec | None, BeforeValidator(from_switch)]
"""``true`` stands for the defaults, ``false`` for none."""
