"""A federation in miniature: rounds of an aggregator by its protocol alone, slow and obvious."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from trainwright.federated import Aggregator, Client, Federation, Layout, Message, Reduced, State
from trainwright.federated.aggregator import LocalCompute
from trainwright.strategy import Batch


class Task(Protocol):
    """What the clients of a miniature learn."""

    @property
    def layout(self) -> Layout:
        """Where the trained tensors lie in the vector of weights, shape (d,)."""
        ...

    @property
    def start(self) -> Tensor:
        """The weights at first, shape (d,), float32."""
        ...

    @property
    def num_samples(self) -> Sequence[int]:
        """Samples of each client there is; their number is the population."""
        ...

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the model's outputs."""
        ...

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


class Miniature:
    """A federation that is trained in this process, one client and one update at a time.

    It is what the docstring of ``Aggregator`` says and nothing else: an oracle for what runs
    aggregators in earnest, and enough to check one without it.

    Args:
        aggregator: the method.
        task: what the clients learn.
        federation: what the aggregator is told; by default the whole population takes part.
        cohort_of: round -> the clients that take part in it; by default the first ``cohort``.

    Attributes:
        weights: of the server, shape (d,).
        state: of the server.
        kept: client -> what it kept from its last round.
        messages: client -> what it sent in the last round.
        losses: mean loss of the clients' first batches at the server's weights, by round.
        round: the next one, from 0.
    """

    def __init__(
        self,
        aggregator: Aggregator,
        task: Task,
        federation: Federation | None = None,
        cohort_of: Callable[[int], Iterable[int]] | None = None,
    ) -> None:
        self.aggregator = aggregator
        self.task = task
        self.federation = federation or federation_of(task, len(task.num_samples))
        self.cohort_of = cohort_of or (lambda round: range(self.federation.cohort))
        self.aggregator.check(self.federation)
        self.weights = task.start.clone()
        self.state = aggregator.start(self.federation)
        self.kept: dict[int, State] = {}
        self.messages: dict[int, Message] = {}
        self.losses: list[float] = []
        self.round = 0

    def run(self, rounds: int) -> Miniature:
        """Train some rounds more; itself."""
        for _ in range(rounds):
            cohort = sorted(self.cohort_of(self.round))
            trained = {id: self._train(self.client(id)) for id in cohort}
            self.losses.append(sum(loss for loss, _ in trained.values()) / len(trained))
            self.receive({id: update for id, (_, update) in trained.items()})
        return self

    def client(self, id: int) -> Client:
        """A client as it begins the next round."""
        state = self.kept.get(id)
        return Client(
            id=id,
            round=self.round,
            num_samples=self.task.num_samples[id],
            num_steps=len(self.task.batches(id)),
            lr=float(self.federation.options["lr"]),
            weights=self.weights,
            shared=self.aggregator.broadcast(self.state),
            state=self.aggregator.client_state(self.federation) if state is None else state,
            layout=self.task.layout,
        )

    def receive(self, updates: Mapping[int, Tensor]) -> None:
        """End a round in which clients have moved their weights by ``updates``, shape (d,)."""
        ended = {id: self.aggregator.end(u, self.client(id)) for id, u in updates.items()}
        self.messages = {id: message for id, (message, _) in ended.items()}
        self.kept |= {id: kept for id, (_, kept) in ended.items()}
        samples = [self.task.num_samples[id] for id in updates]
        messages = list(self.messages.values())
        reduced = reduced_of(self.aggregator, messages, samples, self.federation, self.round)
        self.weights, self.state = self.aggregator.server(self.weights, reduced, self.state)
        self.round += 1

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """All that there is, by name: weights, states, messages of the last round."""
        yield "weights", self.weights
        named = {"server": self.state, "broadcast": self.aggregator.broadcast(self.state)}
        named |= {f"client {id} kept": state for id, state in self.kept.items()}
        named |= {f"client {id} sent": message for id, message in self.messages.items()}
        for owner, values in named.items():
            yield from ((f"{owner}: {name}", value) for name, value in values.items())

    def _train(self, client: Client) -> tuple[float, Tensor]:
        """One client's updates: the loss of its first batch, and how far its weights moved."""
        weights = self.weights.clone()
        optimizer = torch.optim.SGD([weights], **self.federation.options)
        losses = []
        for batch in self.task.batches(client.id):
            at = weights.clone().requires_grad_()
            loss = self.aggregator.loss(batch, self.task.compute(at), client).value
            (gradient,) = torch.autograd.grad(loss, at)
            weights.grad = self.aggregator.gradients(gradient, at.detach(), client)
            optimizer.step()
            losses.append(loss.item())
        return losses[0], weights - self.weights
