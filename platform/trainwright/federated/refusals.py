"""What does not fit together in a federation whose objects could be built."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trainwright.errors import Problem
from trainwright.federated.parts import Parts
from trainwright.federated.privacy.rules import broken_by_aggregator, uncovered_parts
from trainwright.optimizers import is_elementwise
from trainwright.plugins import find
from trainwright.strategy.base import Strategy, overrides

HOOKS = ("model", "objective", "begin", "loss", "per_sample", "predict", "evaluate", "export")
"""Hooks of strategies that a client's training and the evaluation of the global model call."""

_ALL = (
    *("plan", "streams", "models", "parameters", "run", "phase_begin", "order", "batch", "step"),
    *("gradients", "updated", "evaluated", "epoch_end", "state_dict"),
)


MOST_CLIENTS = 10**6
"""Of whom it is found out beforehand whether they have too few samples."""


def broken_parts(parts: Parts) -> list[Problem]:
    """Every problem of them."""
    of_aggregator = list(_aggregator(parts))
    of_privacy = [] if of_aggregator else _privacy(parts)  # it asks the aggregator
    return [
        *_strategies(parts),
        *_optimizer(parts),
        *of_aggregator,
        *of_privacy,
        *_samples(parts),
        *_numbers(parts),
    ]


def _strategies(parts: Parts) -> Iterator[Problem]:
    """Clients call the hooks around the loss, and no others."""
    for index, (name, strategy) in enumerate(parts.assembly.strategies.items()):
        hooks = _beyond(strategy)
        if hooks:
            yield Problem(
                f"strategies.{index}",
                f"{name} changes more than the loss of a client: it needs the hooks "
                f"{', '.join(hooks)} of a whole training",
                allowed=f"strategies that use {', '.join(HOOKS)} alone",
                mend="what is done to updates belongs into an aggregator",
            )


def _beyond(strategy: Strategy) -> list[str]:
    return [hook for hook in _ALL if overrides(strategy, hook)]


def _optimizer(parts: Parts) -> Iterator[Problem]:
    """Clients' weights are one vector, in which an optimizer sees no tensors."""
    name = parts.spec.optimizer.name
    if not is_elementwise(find("optimizers", name, parts.base).factory):
        message = "needs whole tensors, and the weights of a client are one vector"
        yield Problem("optimizer.name", message, name, "sgd, adam, adamw and others by element")


def _aggregator(parts: Parts) -> Iterator[Problem]:
    """What the aggregator says itself."""
    spec = parts.spec.federation.aggregator
    try:
        parts.aggregator.check(parts.federation)
        parts.aggregator.local_tensors(parts.model)
    except ValueError as error:
        mend = f"see `trainwright show aggregators/{spec.name}`"
        yield Problem("federation.aggregator", f"{spec.name} refuses it: {error}", mend=mend)


def _privacy(parts: Parts) -> Iterator[Problem]:
    """What noise would not hide, and a budget that allows nothing."""
    spec, vectors = parts.spec.federation, parts.vectors
    yield from broken_by_aggregator(spec, parts.aggregator)
    staying = parts.staying
    buffers = [span.name for span in vectors.buffer_layout if not staying.holds(span.name)]
    yield from uncovered_parts(spec, parts.message_parts, buffers)
    if parts.rounds == 0:
        message = "is spent by the first round already"
        mend = "more noise, a smaller cohort or a larger max_epsilon"
        yield Problem(
            "federation.privacy.max_epsilon", message, spec.privacy.max_epsilon, mend=mend
        )


def _samples(parts: Parts) -> Iterator[Problem]:
    """Batch normalisation has something to normalise over at every client."""
    if parts.fewest == 1:
        return
    size = parts.spec.data.batch_size
    if size < parts.fewest:
        message = "the model has batch normalisation, which makes nothing of a single sample"
        yield Problem("data.batch_size", message, size, f"at least {parts.fewest}")
    few = parts.rows.sizes(np.arange(min(parts.federation.population, MOST_CLIENTS))) < parts.fewest
    if few.any():
        message = (
            f"client {int(few.argmax())} trains on a single sample, of which the model's batch "
            "normalisation makes nothing"
        )
        mend = "fewer clients, or another partition or options of it, min_samples: 2 for example"
        yield Problem(
            "federation.partition", message, parts.spec.federation.partition.name, mend=mend
        )


def _numbers(parts: Parts) -> Iterator[Problem]:
    """No more clients are wanted than there are."""
    spec, cohort = parts.spec.federation, parts.federation.cohort
    least = spec.sampling.min_clients
    if least > cohort:
        message = "no round can have so many answers, and so none would change anything"
        allowed = f"at most {cohort}, the cohort of a round"
        yield Problem("federation.sampling.min_clients", message, least, allowed)
    evaluation, population = spec.client_evaluation, parts.federation.population
    if evaluation is None or evaluation.clients == "all" or evaluation.clients <= population:
        return
    allowed = f"at most {population}, the number of clients, or all"
    message = "there are not so many clients"
    yield Problem("federation.client_evaluation.clients", message, evaluation.clients, allowed)
