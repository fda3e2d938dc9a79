"""Clients side by side: many small trainings as one computation, by ``torch.func``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial

import numpy as np
import torch
from torch import Tensor, nn

from trainwright.federated.aggregator import Client, State
from trainwright.federated.clients.batch_plan import BatchPlan, Ints
from trainwright.federated.clients.trainer import Chunk, Local, Member, Trainer
from trainwright.federated.clients.vmapped import adapt
from trainwright.federated.layout import Layout
from trainwright.federated.transport.sent import Sent
from trainwright.strategy import Batch
from trainwright.strategy.order import SAMPLE_WEIGHT
from trainwright.training.randomness import seed_all


class Batched(Trainer):
    """Trains all clients of a bin side by side.

    The weights of k clients are one matrix (k, d). Samples that fill up the last batch of an
    epoch have the weight 0, the others such that the loss is the mean over the real ones.
    Clients without further updates are left as they are.
    """

    def __init__(self, local: Local) -> None:
        super().__init__(local)
        adapt(local.terms)
        self._optimizer = local.optimizer([nn.Parameter(torch.zeros(1))])

    def __call__(self, members: Sequence[Member], sent: Sent) -> Iterator[Chunk]:
        """See :class:`Trainer`; one chunk of all members."""
        local = self.local
        local.vectors.module.train()
        members, plan = self._plan(members, sent.round)
        matrix = nn.Parameter(_starts(members, sent))
        matrix.grad = torch.empty_like(matrix)  # every client makes at least one update
        self._optimizer.state.clear()
        for group in self._optimizer.param_groups:
            group.update(lr=sent.lr, params=[matrix])
        local.context.seed = seed_all(local.seed, "clients", sent.round, members[0].id)
        losses = torch.zeros(len(members), device=local.vectors.device)
        clients = _Clients(members, sent, plan, local.vectors.layout)
        for step in range(int(plan.steps[0])):
            active = int((plan.steps > step).sum())
            local.context.update = step
            losses[:active] += self._gradients(matrix, clients, plan, step, active)
            self._move(matrix, clients, active)
        yield Chunk(
            members,
            matrix.detach(),
            sent.buffers.expand(len(members), -1),
            losses / plan.steps.to(losses),
            plan.steps.tolist(),
        )

    def _gradients(
        self, matrix: nn.Parameter, clients: _Clients, plan: BatchPlan, step: int, active: int
    ) -> Tensor:
        """Take the gradients of the clients that have an update to make; their losses."""
        vectors = self.local.vectors
        assert matrix.grad is not None
        leaves = vectors.layout.views(matrix.detach()[:active])
        for leaf in leaves.values():
            leaf.requires_grad_()
        batch = self._batch(plan, clients.round, step, active)
        # Who the client is goes along only where a hook may ask: each tensor takes its time.
        told = (clients.told(active),) if self._has_loss else ()
        each = torch.vmap(partial(self._loss, clients), randomness="different")
        with self.precision():
            losses: Tensor = each(leaves, batch, *told)
        found = torch.autograd.grad(losses.sum(), list(leaves.values()), materialize_grads=True)
        places = vectors.layout.views(matrix.grad[:active])
        for place, gradient in zip(places.values(), found, strict=True):
            place.copy_(gradient)
        return losses.detach()

    def _loss(
        self,
        clients: _Clients,
        tensors: Mapping[str, Tensor],
        batch: Batch,
        told: _Told | None = None,
    ) -> Tensor:
        with self.local.vectors.holding(tensors):
            if told is None:
                return self._inner(batch).value
            return self.loss(batch, clients.client(told)).value

    def _move(
        self,
        matrix: nn.Parameter,
        clients: _Clients,
        active: int,
    ) -> None:
        local, gradient = self.local, matrix.grad
        assert gradient is not None
        if self._has_gradients:
            rows, who = matrix.detach()[:active], clients.client(clients.told(active))
            gradient[:active] = local.aggregator.gradients(gradient[:active], rows, who)
        if local.training.max_grad_norm is not None:
            norms = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
            gradient.mul_((local.training.max_grad_norm / (norms + 1e-6)).clamp(max=1.0))
        idle = matrix.detach()[active:].clone() if active < len(matrix) else None
        self._optimizer.step()
        if idle is not None:
            matrix.detach()[active:] = idle

    def _batch(self, plan: BatchPlan, round: int, step: int, active: int) -> Batch:
        """The samples of an update, (active, batch, ...)."""
        rows, weights = plan.rows[step, :active], plan.weights[step, :active]
        width = rows.shape[1]
        samples = self.local.splits.train.take(rows.reshape(-1))
        epochs = self.first_epoch(round) + plan.epochs[step, :active]
        samples = self._transformed(samples, epochs.repeat_interleave(width))
        batch = {n: c.reshape(active, width, *c.shape[1:]) for n, c in samples.items()}
        if bool((weights != 1).any()):
            batch[SAMPLE_WEIGHT] = weights.to(self.local.vectors.device)
        return batch

    def _transformed(self, samples: dict[str, Tensor], epochs: Tensor) -> dict[str, Tensor]:
        first = int(epochs[0])
        if len(self.local.splits.transforms) == 0 or bool((epochs == first).all()):
            return self.placed(samples, first)
        places = [(epochs == epoch).nonzero().flatten() for epoch in torch.unique(epochs)]
        parts = [
            self.placed({n: c[place] for n, c in samples.items()}, int(epochs[place[0]]))
            for place in places
        ]
        back = torch.cat(places).argsort()
        return {name: torch.cat([part[name] for part in parts])[back] for name in parts[0]}

    def _plan(self, members: Sequence[Member], round: int) -> tuple[list[Member], BatchPlan]:
        """The members in the order of the plan, and the plan."""
        lengths = [member.rows.shape[0] for member in members]
        steps = [self.steps(length) for length in lengths]
        places = sorted(range(len(members)), key=lambda place: -steps[place])
        size = self.local.batch_size
        epochs = [-(-steps[place] // -(-lengths[place] // size)) for place in places]
        drawn: list[list[Tensor]] = [[] for _ in places]
        for number in range(max(epochs)):
            left = [at for at, needed in enumerate(epochs) if needed > number]
            rows = self.orders([members[places[at]] for at in left], round, number)
            for at, ordered in zip(left, rows, strict=True):
                drawn[at].append(ordered)
        orders = [_joined(parts) for parts in drawn]
        sizes, counts = (np.array(numbers)[places] for numbers in (lengths, steps))
        return [members[place] for place in places], BatchPlan.of(orders, sizes, counts, size)


_Told = tuple[Tensor, Tensor, Tensor, State]
"""Numbers, samples and updates of clients, each of shape (k, 1), and what they kept."""


class _Clients:
    """What an aggregator's hooks are told of clients that are trained side by side."""

    def __init__(
        self, members: Sequence[Member], sent: Sent, plan: BatchPlan, layout: Layout
    ) -> None:
        self._sent = sent
        self._layout = layout
        self._members = members
        self._steps = plan.steps.unsqueeze(1)
        names = members[0].state.keys()
        self._states = {name: torch.stack([m.state[name] for m in members]) for name in names}

    @property
    def round(self) -> int:
        """The round they take part in."""
        return self._sent.round

    @cached_property
    def _ids(self) -> Tensor:
        return torch.tensor([[member.id] for member in self._members])

    @cached_property
    def _samples(self) -> Tensor:
        return torch.tensor([[member.rows.shape[0]] for member in self._members])

    def told(self, active: int) -> _Told:
        """The first clients."""
        states = {name: value[:active] for name, value in self._states.items()}
        return self._ids[:active], self._samples[:active], self._steps[:active], states

    def client(self, told: _Told) -> Client:
        """The clients as hooks see them, one or several."""
        ids, samples, steps, state = told
        sent = self._sent
        return Client(
            id=ids,
            round=sent.round,
            num_samples=samples,
            num_steps=steps,
            lr=sent.lr,
            weights=sent.weights,
            shared=sent.shared,
            state=state,
            layout=self._layout,
        )


def _joined(epochs: Sequence[Tensor]) -> Ints:
    joined: Ints = (epochs[0] if len(epochs) == 1 else torch.cat(list(epochs))).numpy()
    return joined


def _starts(members: Sequence[Member], sent: Sent) -> Tensor:
    """The weights with which the clients begin, (k, d), in memory of their own."""
    if all(member.start is None for member in members):
        return sent.weights.repeat(len(members), 1)
    return torch.stack([m.start[0] if m.start else sent.weights for m in members])
