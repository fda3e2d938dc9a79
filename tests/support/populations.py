"""Training tables as partitioners see them, and what clients got of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st

from trainwright.federated import Partition, Population


def population(num_clients: int | None, labels: Any, seed: int = 0, **columns: Any) -> Population:
    """A table with the column of classes ``label``, and others."""
    values = {"label": torch.as_tensor(labels), **columns}
    num_classes = int(values["label"].max()) + 1
    return Population(
        num_clients, len(labels), seed, values.__getitem__, target="label", num_classes=num_classes
    )


def class_counts(partition: Partition, labels: Any) -> np.ndarray:
    """How many rows of each class each client has, (clients, classes)."""
    labels = np.asarray(labels)
    return np.stack(
        [
            np.bincount(labels[partition.rows(client).numpy()], minlength=labels.max() + 1)
            for client in range(partition.num_clients)
        ]
    )


def has_each_row_once(partition: Partition, num_rows: int) -> bool:
    """Whether every row of the table belongs to exactly one client."""
    rows = [partition.rows(client).tolist() for client in range(partition.num_clients)]
    assert [len(part) for part in rows] == partition.sizes(np.arange(len(rows))).tolist()
    return sorted(row for part in rows for row in part) == list(range(num_rows))


@st.composite
def label_lists(draw: Any, most_classes: int = 4) -> list[int]:
    """Labels of a table in which each class occurs."""
    num_classes = draw(st.integers(1, most_classes))
    rest = draw(st.lists(st.integers(0, num_classes - 1), max_size=60))
    return draw(st.permutations([*range(num_classes), *rest]))
