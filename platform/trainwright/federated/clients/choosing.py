"""Whether clients can train side by side, found out by doing it with a few."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.nn.modules.dropout import _DropoutNd

from trainwright.errors import JobError, Problem
from trainwright.federated.aggregator import overridden
from trainwright.federated.clients.batched import Batched
from trainwright.federated.clients.sequential import Sequential
from trainwright.federated.clients.trainer import Execution, Member, Trainer
from trainwright.federated.parts import Parts
from trainwright.federated.transport.sent import Sent, moved
from trainwright.strategy.base import overrides

CLIENTS, SAMPLES = 3, 64
TOLERANCE = {"fp32": 1e-3, "bf16": 0.05}
"""Between the updates of both ways, relative to the larger one; rounding is far below it."""


def choose_execution(parts: Parts) -> tuple[Execution, list[str]]:
    """How the clients of a federation train.

    Returns:
        ``batched`` where the job asks for it or leaves the choice, and it is right; and remarks.

    Raises:
        JobError: the job asks for it, and it is wrong.
    """
    wanted = parts.spec.federation.execution
    if wanted == "sequential":
        return "sequential", []
    reason = _obstacle(parts) or _difference(parts)
    if reason is None:
        return "batched", []
    if wanted == "batched":
        message = f"clients cannot be trained side by side: {reason}"
        raise JobError(Problem("federation.execution", message, wanted, "sequential, auto"))
    return "sequential", [f"clients train one after another: {reason}"]


def _obstacle(parts: Parts) -> str | None:
    """What forbids it, as far as that is declared."""
    assembly, aggregator = parts.assembly, parts.aggregator
    if parts.vectors.buffer_layout.size or parts.vectors.counters:
        return "the model has buffers (running statistics), which differ from client to client"
    if parts.staying:
        return f"{parts.spec.federation.aggregator.name} keeps tensors at each client"
    if (reason := assembly.terms.unweightable) is not None:
        return f"{reason}, so that a smaller last batch cannot be filled up"
    for name, strategy in assembly.strategies.items():
        changes = overrides(strategy, "loss") or overrides(strategy, "objective")
        if changes and not strategy.declares.functional:
            return f"strategy {name} does not declare that it is functional"
    if not aggregator.functional and (
        overridden(aggregator, "loss") or overridden(aggregator, "gradients")
    ):
        return f"{parts.spec.federation.aggregator.name} is not functional"
    return None


def _difference(parts: Parts) -> str | None:
    """Why the updates of a few clients are not the same both ways; None where they are."""
    local, vectors = parts.local(), parts.vectors
    weights, buffers = vectors.weights.clone(), vectors.buffers.clone()
    shared = moved(parts.first_shared, vectors.device)
    sent = Sent(0, 1e-3, weights, buffers, shared=shared)
    state = moved(parts.first_client_state, vectors.device)
    number = min(CLIENTS, parts.federation.population)
    members = [Member(client, _some_rows(parts, client), state) for client in range(number)]
    try:
        with torch.random.fork_rng(devices=[]):
            side_by_side = _updates(Batched(local), members, sent)
            if _draws(parts):
                return None
            one_by_one = _updates(Sequential(local), members, sent)
    except Exception as error:  # plugins are the user's code, and torch.func refuses much
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
    finally:
        with torch.no_grad():
            vectors.weights.copy_(weights)
            vectors.buffers.copy_(buffers)
    gap = float((side_by_side - one_by_one).abs().max())
    size = float(one_by_one.abs().max())
    if not gap <= TOLERANCE[parts.spec.training.precision] * size:
        return f"their updates would differ by up to {gap:.1e}, of up to {size:.1e}"
    return None


def _some_rows(parts: Parts, client: int) -> torch.Tensor:
    """So many rows that batches of different size come up, and are filled up side by side."""
    rows = parts.rows.training(client)
    return rows[: max(min(len(rows), SAMPLES) - client, 1)]


def _updates(trainer: Trainer, members: list[Member], sent: Sent) -> torch.Tensor:
    """The updates of all members, (k, d), in the order of their numbers."""
    found = dict(_found(trainer, members, sent))
    return torch.stack([found[member.id] for member in members])


def _found(
    trainer: Trainer, members: list[Member], sent: Sent
) -> Iterator[tuple[int, torch.Tensor]]:
    for chunk in trainer(members, sent):
        for member, weights in zip(chunk.members, chunk.weights, strict=True):
            yield member.id, weights.detach() - sent.weights


def _draws(parts: Parts) -> bool:
    """Whether the model draws random numbers in training, so that no two ways agree."""
    modules = parts.assembly.module.modules()
    return any(isinstance(module, _DropoutNd) and module.p > 0 for module in modules)
