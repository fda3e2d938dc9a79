"""The protocol of aggregators: what clients add to their training, and what the server does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from torch import Tensor, nn

from trainwright.federated.layout import Layout

if TYPE_CHECKING:
    from trainwright.strategy import Batch, Loss, Outputs

State = Mapping[str, Tensor]
"""Named tensors that are kept from round to round."""

Message = Mapping[str, Tensor]
"""What one client sends: named tensors, of the same names and shapes for every client."""

UPDATE = "update"
"""The part of a message that stands for the client's change of the weights."""


@dataclass(frozen=True)
class Federation:
    """What an aggregator may know of the federation before it starts.

    Attributes:
        population: number of clients there are.
        cohort: most clients that take part in one round.
        rounds: number of rounds.
        layout: where the trained tensors lie in the vector of weights, shape (d,).
        optimizer: name of the clients' optimizer.
        options: its options, as far as the job gives them (``lr``, ``momentum``...).
        outputs: names of the model's outputs, as far as known.
    """

    population: int
    cohort: int
    rounds: int
    layout: Layout
    optimizer: str
    options: Mapping[str, Any]
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Client:
    """A client that takes part in a round.

    Where several clients are trained side by side, ``id``, ``num_samples`` and ``num_steps`` are
    tensors: of shape (clients, 1) in ``gradients``, where tensors of ``state`` have a first
    dimension more as well, and of shape (1,) in ``loss``.

    Attributes:
        id: its number in the population.
        round: the round, from 0.
        num_samples: samples it has.
        num_steps: updates it makes in this round.
        lr: learning rate of this round.
        weights: what the server sent, shape (d,); not to be changed.
        shared: what the server sent besides, see :meth:`Aggregator.broadcast`.
        state: what this client kept from its last round, see :meth:`Aggregator.client_state`.
        layout: where the tensors lie in ``weights``.
    """

    id: Any
    round: int
    num_samples: Any
    num_steps: Any
    lr: float
    weights: Tensor
    shared: State
    state: State
    layout: Layout


@dataclass(frozen=True)
class Reduced:
    """What arrived of a cohort.

    Attributes:
        mean: with ``reduce = "sum"``, each part of the messages averaged over the clients with
            their weights, float64; empty otherwise.
        stack: with ``reduce = "stack"``, each part of all clients, float32 of shape
            (clients, ...) in the order of their numbers; empty otherwise.
        weights: weight of each client, shape (clients,), float64: samples, or ones.
        round: the round, from 0.
        federation: what was known before.
    """

    mean: State
    stack: State
    weights: Tensor
    round: int
    federation: Federation

    @property
    def num_clients(self) -> int:
        """Clients whose messages arrived; at least 1."""
        return len(self.weights)


class LocalCompute(Protocol):
    """The loss of a client's batch, as an aggregator's ``loss`` sees it; see ``Compute``."""

    def __call__(self, batch: Batch, outputs: Outputs | None = None) -> Loss:
        """The loss of ``batch``; with ``outputs`` given, no forward pass is run for them."""
        ...

    def forward(self, batch: Batch) -> Outputs:
        """The outputs of the model with the client's present weights."""
        ...

    def forward_at(self, weights: Tensor, batch: Batch) -> Outputs:
        """The outputs of the model with other weights, shape (d,), without gradient."""
        ...


class Aggregator:
    """Base of all aggregators: override what the method changes.

    One round, with every method in its place::

        shared = aggregator.broadcast(state)                  # beside the weights
        for client in cohort:                                 # any order, any machine
            weights = server's weights
            for batch in the client's batches:
                loss = aggregator.loss(batch, compute, client)
                gradient = aggregator.gradients(gradient of loss, weights, client)
                optimizer moves the weights                   # a fresh one in every round
            message, kept = aggregator.end(weights - server's weights, client)
        reduced = sum over the cohort, or all messages
        weights, state = aggregator.server(server's weights, reduced, state)

    All trained weights are one vector of shape (d,), float32, in which ``layout`` finds each
    tensor. Floating-point buffers (statistics of batch normalisation) are averaged by the
    platform and are no part of it.

    The methods are pure: they change none of their arguments, and keep nothing in ``self``. So
    clients that never took part cost nothing, and results do not depend on where they were run.
    A constructor's typed signature is the schema of the options.

    Attributes:
        reduce: ``sum``: the server needs the average of the messages only, which is formed on
            the way; ``stack``: it needs each client's message.
        weighting: by what clients count in the average: ``samples``, the number they have, or
            ``uniform``.
        keeps_state: whether clients keep anything between their rounds.
        functional: whether ``loss`` and ``gradients`` may be run for many clients at once by
            ``torch.func``: no branches on values, no state, and a mean over samples takes account
            of a column ``sample_weight`` (mean of ``w_i * loss_i``).
    """

    reduce: Literal["sum", "stack"] = "sum"
    weighting: Literal["samples", "uniform"] = "samples"
    keeps_state: bool = False
    functional: bool = True

    def check(self, federation: Federation) -> None:
        """Refuse a federation for which the method is wrong, before anything starts.

        Raises:
            ValueError: it is; the message says why.
        """

    def start(self, federation: Federation) -> State:
        """The server's state before the first round."""
        return {}

    def broadcast(self, state: State) -> State:
        """What every client gets beside the weights."""
        return {}

    def client_state(self, federation: Federation) -> State:
        """What a client has that takes part for the first time; only with ``keeps_state``."""
        return {}

    def local_tensors(self, model: nn.Module) -> tuple[str, ...]:
        """Names of parameters and buffers that stay with each client, as the model names them.

        They do not travel: a client continues with its own, at first with the starting model's.
        """
        return ()

    def loss(self, batch: Batch, compute: LocalCompute, client: Client) -> Loss:
        """Around the loss of one batch of a client; outside of all strategies."""
        return compute(batch)

    def gradients(self, gradient: Tensor, weights: Tensor, client: Client) -> Tensor:
        """The gradient by which the client's optimizer moves.

        Args:
            gradient: of the loss, shape (d,), or (clients, d).
            weights: of the same shape, the client's at present.
            client: who it is, with tensors that can be broadcast against ``gradient``.
        """
        return gradient

    def end(self, update: Tensor, client: Client) -> tuple[Message, State]:
        """What a client sends, and what it keeps, after its last step of a round.

        Args:
            update: the client's weights minus those of the server, shape (d,).
            client: who it is.

        Returns:
            The message; its part ``update`` stands for the change of the weights, and is what
            privacy and transforms of updates act upon. And the state it keeps.
        """
        return {UPDATE: update}, {}

    def server(self, weights: Tensor, reduced: Reduced, state: State) -> tuple[Tensor, State]:
        """The new weights and the server's new state.

        Args:
            weights: shape (d,), float32.
            reduced: what arrived.
            state: the server's.
        """
        return weights + reduced.mean[UPDATE].to(weights.dtype), state


def overridden(aggregator: Aggregator, method: str) -> bool:
    """Whether an aggregator overrides ``method``, so that what it leaves alone costs nothing."""
    return getattr(type(aggregator), method) is not getattr(Aggregator, method)
