"""Aggregators with one fault each, which the checks must find."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainwright.federated import Aggregator, Client, Federation, Message, Reduced, State
from trainwright.federated.aggregator import LocalCompute
from trainwright.strategy import Batch, Loss


class Sound(Aggregator):
    """Move by a share of the mean update, without a fault.

    Equation:
        w <- w + share * u.

    Args:
        share: of the mean update.

    Needs:
        Nothing.

    Measured:
        Nothing.

    Source:
        None.
    """

    def __init__(self, share: float = 0.5) -> None:
        self.share = share

    def end(self, update: Tensor, client: Client) -> tuple[Message, State]:
        return {"update": self.share * update}, {}


class Unexplained(Aggregator):
    """Move somehow.

    Equation:
        w <- w + share * u.
    """

    def __init__(self, share: float = 0.5) -> None:
        self.share = share


class WrongWay(Aggregator):
    def server(self, weights: Tensor, reduced: Reduced, state: State) -> tuple[Tensor, State]:
        return weights - reduced.mean["update"].float(), state


class Placebo(Aggregator):
    pass


class NearlyNeutral(Sound):
    def server(self, weights: Tensor, reduced: Reduced, state: State) -> tuple[Tensor, State]:
        return weights + reduced.mean["update"].float() * (1 + 1e-7), state


class WrongFactor(Sound):
    def server(self, weights: Tensor, reduced: Reduced, state: State) -> tuple[Tensor, State]:
        return weights + 1.01 * reduced.mean["update"].float(), state


class InPlace(Aggregator):
    def end(self, update: Tensor, client: Client) -> tuple[Message, State]:
        return {"update": update.mul_(0.5)}, {}


class Remembering(Aggregator):
    rounds = 0

    def server(self, weights: Tensor, reduced: Reduced, state: State) -> tuple[Tensor, State]:
        self.rounds += 1
        return super().server(weights, reduced, state)


class Dice(Aggregator):
    def gradients(self, gradient: Tensor, weights: Tensor, client: Client) -> Tensor:
        return gradient * (1 + torch.rand(()))


class Uneven(Aggregator):
    def end(self, update: Tensor, client: Client) -> tuple[Message, State]:
        return {"update": update, "steps": torch.ones(client.num_steps)}, {}


class Talkative(Aggregator):
    def end(self, update: Tensor, client: Client) -> tuple[Message, State]:
        return {"update": update, "steps": client.num_steps}, {}  # type: ignore[dict-item]


class Nameless(Aggregator):
    def end(self, update: Tensor, client: Client) -> tuple[Message, State]:
        return {"delta": update}, {}


class Hoarder(Aggregator):
    def end(self, update: Tensor, client: Client) -> tuple[Message, State]:
        return {"update": update}, {"last": update}


class Exact(Aggregator):
    keeps_state = True

    def client_state(self, federation: Federation) -> State:
        return {"rounds": torch.zeros((), dtype=torch.float64)}

    def end(self, update: Tensor, client: Client) -> tuple[Message, State]:
        return {"update": update}, {"rounds": client.state["rounds"] + 0.1}


class FirstComes(Aggregator):
    reduce = "stack"

    def server(self, weights: Tensor, reduced: Reduced, state: State) -> tuple[Tensor, State]:
        return weights + reduced.stack["update"][0], state


class Together(Aggregator):
    def gradients(self, gradient: Tensor, weights: Tensor, client: Client) -> Tensor:
        return gradient / gradient.norm()


class Branching(Aggregator):
    def loss(self, batch: Batch, compute: LocalCompute, client: Client) -> Loss:
        loss = compute(batch)
        return loss if loss.value > 1 else Loss(2 * loss.value)


class Unweighted(Aggregator):
    def loss(self, batch: Batch, compute: LocalCompute, client: Client) -> Loss:
        outputs = compute.forward(batch)
        return compute(batch, outputs).plus(outputs["logits"].square().mean(), "size")


class Inventive(Aggregator):
    def local_tensors(self, model: nn.Module) -> tuple[str, ...]:
        return ("norm.beta",)


class Overflowing(Aggregator):
    def start(self, federation: Federation) -> State:
        return {"power": torch.zeros(federation.layout.size)}

    def server(self, weights: Tensor, reduced: Reduced, state: State) -> tuple[Tensor, State]:
        update = reduced.mean["update"].float()
        return weights + update, {"power": state["power"] + update.square()}


class Dividing(Aggregator):
    def server(self, weights: Tensor, reduced: Reduced, state: State) -> tuple[Tensor, State]:
        update = reduced.mean["update"].float()
        return weights + update * update / update, state


class Wide(Aggregator):
    def server(self, weights: Tensor, reduced: Reduced, state: State) -> tuple[Tensor, State]:
        return weights + reduced.mean["update"], state
