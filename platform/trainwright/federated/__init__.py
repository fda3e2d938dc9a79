"""Jobs of kind ``federated``: one model, trained by many clients on samples of their own.

What aggregators, partitioners and transforms of updates are written against is exported here; it
is imported when it is first used, for a job's form is read without PyTorch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainwright.lazy import importer

if TYPE_CHECKING:
    from trainwright.federated.aggregator import (
        UPDATE,
        Aggregator,
        Client,
        Federation,
        LocalCompute,
        Message,
        Reduced,
        State,
    )
    from trainwright.federated.layout import Layout, Span
    from trainwright.federated.partition import Indexed, Partition, Partitioner, Population
    from trainwright.federated.population.drawn import Drawn
    from trainwright.federated.update_transform import Encoded, UpdateTransform

__all__ = [
    "UPDATE",
    "Aggregator",
    "Client",
    "Drawn",
    "Encoded",
    "Federation",
    "Indexed",
    "Layout",
    "LocalCompute",
    "Message",
    "Partition",
    "Partitioner",
    "Population",
    "Reduced",
    "Span",
    "State",
    "UpdateTransform",
]

__getattr__ = importer(
    __name__,
    {
        "trainwright.federated.aggregator": (
            "UPDATE",
            "Aggregator",
            "Client",
            "Federation",
            "LocalCompute",
            "Message",
            "Reduced",
            "State",
        ),
        "trainwright.federated.population.drawn": ("Drawn",),
        "trainwright.federated.layout": ("Layout", "Span"),
        "trainwright.federated.partition": (
            "Indexed",
            "Partition",
            "Partitioner",
            "Population",
        ),
        "trainwright.federated.update_transform": ("Encoded", "UpdateTransform"),
    },
)
