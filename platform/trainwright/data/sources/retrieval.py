"""Generated queries and documents, of which several belong to each other."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field

from trainwright.data.random import integers, key, normal
from trainwright.data.table import IGNORED, Table

_Count = Annotated[int, Field(gt=0)]


def synthetic_retrieval(
    num_labels: Annotated[int, Field(gt=1)] = 400,
    num_features: _Count = 64,
    num_random: Annotated[int, Field(ge=0)] = 4,
    noise: Annotated[float, Field(ge=0)] = 0.1,
    seed: Annotated[int, Field(ge=0)] = 0,
) -> Table:
    """Queries with one document that is plainly theirs, and others that are so by chance.

    Columns ``document_features`` and ``query_features`` (num_features,), vectors of length 1: the
    query of a row is its document with noise. ``label`` is the number of the row's document, and
    ``target`` (1 + num_random,) the labels that belong to the query: its own, and random ones,
    which can only be learnt by heart. One row for each label.

    Args:
        num_labels: rows, documents and labels.
        num_features: length of the vectors.
        num_random: further labels of each query; one that is drawn twice counts once.
        noise: standard deviation of the noise on each feature of a query.
        seed: decides everything.
    """
    rows = torch.arange(num_labels)
    document = normal(key("retrieval", seed, "document"), rows, (num_features,))
    document = document / document.square().sum(dim=1, keepdim=True).sqrt()
    query = document + noise * normal(key("retrieval", seed, "query"), rows, (num_features,))
    query = query / query.square().sum(dim=1, keepdim=True).sqrt()
    # A step of 1 to num_labels - 1: never the row's own label.
    step = integers(key("retrieval", seed, "target"), rows, 1, num_labels, (num_random,))
    others = ((rows[:, None] + step) % num_labels).sort(dim=1).values
    repeated = torch.zeros_like(others, dtype=torch.bool)
    repeated[:, 1:] = others[:, 1:] == others[:, :-1]
    target = torch.cat([rows[:, None], others.masked_fill(repeated, IGNORED)], dim=1)
    return Table.from_arrays(
        {
            "query_features": query,
            "document_features": document,
            "label": rows,
            "target": target,
        },
        {
            "query_features": "vector",
            "document_features": "vector",
            "label": "class",
            "target": "tokens",
        },
    )
