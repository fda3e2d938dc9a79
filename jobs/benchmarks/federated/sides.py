"""Starting a federation of ours as a side, and reading the weights that a side kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from common.processes import Process, Sides
from torch import Tensor


def start_ours(sides: Sides, name: str, job: Mapping[str, Any], keep_after: int) -> None:
    """Start one of ours among the sides."""
    file = sides.folder / f"{len(sides.processes)}.json"
    file.write_text(json.dumps(job))
    block = job["federation"]["aggregator"]["block"]
    sides.start(name, "federated.paced", keep_after, file, block=block)


def kept(name: str, process: Process) -> Tensor:
    """Let a side come to its end; the weights that it kept, shape (d,).

    Raises:
        RuntimeError: it ended before the round whose weights it was to keep.
    """
    weights = process.end()
    if weights is None:
        raise RuntimeError(f"{name} has made too few rounds")
    return torch.from_numpy(weights)
