"""Small federations on digits: their objects, and what their clients come to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainwright.federated.building import build_parts
from trainwright.federated.clients.trainer import Chunk, Member, Trainer
from trainwright.federated.parts import Parts
from trainwright.federated.transport.sent import Sent
from trainwright.job import Job

SMALL: dict[str, Any] = {
    "kind": "federated",
    "name": "small",
    "data": {"source": "digits", "batch_size": 16, "validation": 0.8},
    "model": {"name": "mlp", "hidden": [8], "activation": "tanh"},
    "objective": "cross_entropy",
    "optimizer": {"name": "sgd", "lr": 0.1},
    "federation": {
        "rounds": 2,
        "clients": 7,
        "partition": {"name": "quantity_skew", "sigma": 0.7, "min_samples": 3},
    },
    "tracking": {"enabled": False},
}
"""359 samples of seven clients with very different numbers of them."""


def values_of(base: Mapping[str, Any] = SMALL, **sections: Any) -> dict[str, Any]:
    """A job with sections replaced; keys with two underscores are paths (``data__test``)."""
    values = {name: dict(v) if isinstance(v, dict) else v for name, v in base.items()}
    for path, value in sections.items():
        section, _, key = path.partition("__")
        if key:
            values.setdefault(section, {})[key] = value
        else:
            values[section] = value
    return values


def job_of(**sections: Any) -> Job[Any]:
    """The job of a small federation."""
    return Job.from_dict(values_of(**sections))


def parts_of(**sections: Any) -> Parts:
    """The objects of a small federation."""
    job = job_of(**sections)
    return build_parts(job.spec, Path(job.base))


def members_of(parts: Parts, **states: Tensor) -> list[Member]:
    """All clients as members of a round."""
    rows = parts.rows
    state = {**parts.first_client_state, **states}
    return [Member(c, rows.training(c), state) for c in range(parts.federation.population)]


def sent_of(parts: Parts, round: int = 0, **fields: Any) -> Sent:
    """What the server sends of the model as it is."""
    vectors = parts.vectors
    given = {
        "lr": parts.lr(round),
        "weights": vectors.weights.clone(),
        "buffers": vectors.buffers.clone(),
        "counters": {name: value.clone() for name, value in vectors.counters.items()},
        "shared": parts.first_shared,
    }
    return Sent(round, **{**given, **fields})


def trained(trainer: Trainer, members: list[Member], sent: Sent) -> dict[int, Tensor]:
    """The weights, shape (d,), to which each client comes."""
    return {
        member.id: weights.detach().clone()
        for chunk in trainer(members, sent)
        for member, weights in zip(chunk.members, chunk.weights, strict=True)
    }


def chunk_of(weights: Tensor, rows: list[int], **fields: Any) -> Chunk:
    """Clients 0, 1... with made-up weights (k, d), and so many samples each."""
    members = [Member(i, torch.arange(n), {}) for i, n in enumerate(rows)]
    given = {
        "buffers": torch.zeros(len(rows), 0),
        "losses": torch.ones(len(rows)),
        "steps": [1] * len(rows),
    }
    return Chunk(members, weights, **{**given, **fields})
