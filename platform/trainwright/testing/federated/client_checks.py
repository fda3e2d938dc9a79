"""Checks of what an aggregator does inside the clients, and of what they send and keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from trainwright.federated import Client, State
from trainwright.federated.aggregator import UPDATE
from trainwright.testing.check import nothing_of
from trainwright.testing.federated.case import AggregatorCase
from trainwright.testing.federated.rounding import close, random
from trainwright.testing.federated.tasks import network
from trainwright.testing.trace import same


def speaks_alike(case: AggregatorCase) -> None:
    """Messages, and what clients keep, are tensors of the same names and shapes for all clients."""
    played = case.miniature()
    aggregator, size = played.aggregator, played.task.layout.size
    expected = _form(aggregator.client_state(played.federation))
    if not aggregator.keeps_state:
        assert not expected, "client_state is not empty, but keeps_state is not set"
    form = None
    for _ in range(3):
        for name, values in (("state", played.state), ("broadcast", played.client(0).shared)):
            nothing_of(_not_tensors(values), f"the server's {name} must be tensors only")
        for id in range(played.federation.population):
            sent, kept = aggregator.end(torch.ones(size), played.client(id))
            for named in (sent, kept):
                nothing_of(_not_tensors(named), "what clients send and keep must be tensors only")
            form = form or _form(sent)
            assert _form(sent) == form, f"client {id} sends {_form(sent)}, not {form}"
            assert _form(kept) == expected, f"client {id} keeps {_form(kept)}, not {expected}"
        wanted = ([size], torch.float32)
        assert form is not None
        assert form.get(UPDATE) == wanted, f"{UPDATE!r} must be of {wanted}: {form}"
        assert all(dtype.is_floating_point for _, dtype in form.values()), f"no floats: {form}"
        played.run(1)


def survives_float32(case: AggregatorCase) -> None:
    """What clients keep is kept as float32 without a loss."""
    played = case.miniature().run(3)
    for id, kept in played.kept.items():
        for name, value in kept.items():
            assert same(value, value.float().to(value.dtype)), (
                f"client {id}: {name} loses digits as float32"
            )


def stacks_gradients(case: AggregatorCase) -> None:
    """``gradients`` of clients side by side, shape (clients, d), are those of each alone."""
    played = case.miniature().run(2)
    clients = [played.client(id) for id in range(case.cohort)]
    shape = (case.cohort, played.task.layout.size)
    gradients, weights = torch.randn(2, *shape, generator=random(3))
    hook = played.aggregator.gradients
    together = hook(gradients.clone(), weights, _side_by_side(clients))
    assert together.shape == shape, f"gradients of shape {shape} become {tuple(together.shape)}"
    for row, client in enumerate(clients):
        alone = hook(gradients[row].clone(), weights[row], client)
        close(together[row], alone, f"the gradient of client {client.id} differs in a stack")


def batches_its_loss(case: AggregatorCase) -> None:
    """``loss`` works for many clients at once by ``torch.func``, and minds ``sample_weight``."""
    played = case.miniature().run(2)
    aggregator, task = played.aggregator, played.task
    clients = [played.client(id) for id in range(case.cohort)]
    batches = [dict(task.batches(client.id)[0]) for client in clients]
    weights = torch.randn(case.cohort, task.layout.size, generator=random(4))

    def loss(at: Tensor, batch: Mapping[str, Tensor], state: State) -> Tensor:
        client = replace(clients[0], state=state)
        return aggregator.loss(batch, task.compute(at), client).value

    stacked = {name: torch.stack([batch[name] for batch in batches]) for name in batches[0]}
    states = _stacked([client.state for client in clients])
    try:
        together = torch.func.vmap(torch.func.grad(loss))(weights, stacked, states)
    except RuntimeError as error:
        raise AssertionError("torch.func cannot run its loss: is it functional?") from error
    for row, client in enumerate(clients):
        alone = torch.func.grad(loss)(weights[row], batches[row], client.state)
        close(together[row], alone, "the gradient of the loss differs side by side")
    batch, state = batches[0], clients[0].state
    one = torch.tensor([2.0, 0.0, 1.0, 1.0])
    other = {name: value[[0, 0, 2, 3]] for name, value in batch.items()}
    first = loss(weights[0], {**batch, "sample_weight": one}, state)
    second = loss(weights[0], {**other, "sample_weight": one}, state)
    close(second, first, "a sample of weight 0 changes the loss")


def keeps_real_tensors(case: AggregatorCase) -> None:
    """What stays with the clients are parameters and buffers that the model has."""
    model = network()
    known = {name for name, _ in (*model.named_parameters(), *model.named_buffers())}
    unknown = [f"{n}" for n in case.make().local_tensors(model) if n not in known]
    nothing_of(unknown, f"the model has no such tensors, but {', '.join(sorted(known))}")


def _side_by_side(clients: list[Client]) -> Client:
    """Several clients as one, as ``gradients`` sees those that are trained side by side."""
    count = torch.tensor([[client.num_samples] for client in clients])
    steps = torch.tensor([[client.num_steps] for client in clients])
    state = _stacked([client.state for client in clients])
    return replace(clients[0], num_samples=count, num_steps=steps, state=state)


def _stacked(states: list[State]) -> State:
    return {name: torch.stack([state[name] for state in states]) for name in states[0]}


def _not_tensors(named: Mapping[str, object]) -> list[str]:
    return [
        f"{name} is {type(value).__name__}"
        for name, value in named.items()
        if not isinstance(value, Tensor)
    ]


def _form(named: State) -> dict[str, tuple[list[int], torch.dtype]]:
    return {name: (list(value.shape), value.dtype) for name, value in sorted(named.items())}
