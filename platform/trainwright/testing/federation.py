"""A federation in miniature: rounds of an aggregator by its protocol alone, slow and obvious."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from trainwright.federated import Aggregator, Client, Federation, Layout, Message, Reduced, State
from trainwright.federated.aggregator import LocalCompute
from trainwright.strategy import Batch


class Task(Protocol):
    """What the clients of a miniature learn.

    Attributes:
        layout: where the trained tensors lie in the vector of weights, shape (d,).
        start: the weights at first, shape (d,), float32.
        num_samples: of each client there is; their number is the population.
        outputs: names of the model's outputs.
    """

    layout: Layout
    start: Tensor
    num_samples: Sequence[int]
    outputs: tuple[str, ...]

    def batches(self, client: int) -> Sequence[Batch]:
        """The batches of one client's round, one for each of its updates."""
        ...

    def compute(self, weights: Tensor) -> LocalCompute:
        """The loss of a batch at some weights of shape (d,)."""
        ...


def federation_of(
    task: Task, cohort: int, rounds: int = 5, options: Mapping[str, Any] | None = None
) -> Federation:
    """What an aggregator is told of a task's clients, who train by SGD with ``options``."""
    return Federation(
        population=len(task.num_samples),
        cohort=cohort,
        rounds=rounds,
        layout=task.layout,
        optimizer="sgd",
        options=dict(options or {"lr": 0.1}),
        outputs=task.outputs,
    )


def reduced_of(
    aggregator: Aggregator,
    messages: Sequence[Message],
    num_samples: Sequence[int],
    federation: Federation,
    round: int = 0,
) -> Reduced:
    """What a server gets of a cohort: the averages in float64, or all messages in float32."""
    samples = torch.tensor(num_samples, dtype=torch.float64)
    weights = samples if aggregator.weighting == "samples" else torch.ones_like(samples)
    stack = {name: torch.stack([one[name] for one in messages]) for name in messages[0]}
    if aggregator.reduce == "stack":
        every = {name: value.float() for name, value in stack.items()}
        return Reduced({}, every, weights, round, federation)
    share = weights / weights.sum()
    mean = {name: torch.tensordot(share, value.double(), 1) for name, value in stack.items()}
    return Reduced(mean, {}, weights, round, federation)


@dataclass
class Miniature:
    """A federation that is trained in this process, one client and one update at a time.

    It is what the docstring of ``Aggregator`` says and nothing else: an oracle for what runs
    aggregators in earnest, and enough to check one without it.

    Attributes:
        aggregator: the method.
        task: what the clients learn.
        federation: what the aggregator is told; by default the whole population takes part.
        cohort_of: round -> the clients that take part in it; by default the first ``cohort``.
        weights: of the server, shape (d,).
        state: of the server.
        kept: client -> what it kept from its last round.
        losses: mean loss of the clients' first batches at the server's weights, by round.
    """

    aggregator: Aggregator
    task: Task
    federation: Federation | None = None
    cohort_of: Callable[[int], Sequence[int]] | None = None
    kept: dict[int, State] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.federation is None:
            self.federation = federation_of(self.task, len(self.task.num_samples))
        self.aggregator.check(self.federation)
        self.weights = self.task.start.clone()
        self.state = self.aggregator.start(self.federation)

    def run(self, rounds: int) -> Miniature:
        """Train some rounds more; itself."""
        for _ in range(rounds):
            self._round(len(self.losses))
        return self

    def _round(self, round: int) -> None:
        assert self.federation is not None
        ids = range(self.federation.cohort) if self.cohort_of is None else self.cohort_of(round)
        shared = self.aggregator.broadcast(self.state)
        first, messages = [], []
        for id in ids:
            loss, message = self._train(self._client(id, round, shared))
            first.append(loss)
            messages.append(message)
        self.losses.append(sum(first) / len(first))
        samples = [self.task.num_samples[id] for id in ids]
        reduced = reduced_of(self.aggregator, messages, samples, self.federation, round)
        self.weights, self.state = self.aggregator.server(self.weights, reduced, self.state)

    def _client(self, id: int, round: int, shared: State) -> Client:
        assert self.federation is not None
        state = self.kept.get(id)
        if state is None:
            state = self.aggregator.client_state(self.federation)
        return Client(
            id=id,
            round=round,
            num_samples=self.task.num_samples[id],
            num_steps=len(self.task.batches(id)),
            lr=float(self.federation.options["lr"]),
            weights=self.weights,
            shared=shared,
            state=state,
            layout=self.task.layout,
        )

    def _train(self, client: Client) -> tuple[float, Message]:
        """One client's round: its first loss, and its message."""
        assert self.federation is not None
        weights = self.weights.clone()
        optimizer = torch.optim.SGD([weights], **self.federation.options)
        first = None
        for batch in self.task.batches(client.id):
            at = weights.detach().clone().requires_grad_()
            loss = self.aggregator.loss(batch, self.task.compute(at), client).value
            (gradient,) = torch.autograd.grad(loss, at)
            weights.grad = self.aggregator.gradients(gradient, at.detach(), client)
            optimizer.step()
            first = loss.item() if first is None else first
        message, kept = self.aggregator.end(weights - self.weights, client)
        if self.aggregator.keeps_state:
            self.kept[client.id] = kept
        assert first is not None, f"client {client.id} has no batch"
        return first, message
