"""Transforms of updates one after another, and what the result would take to send."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from trainwright.data.random import generator
from trainwright.federated.update_transform import Encoded, UpdateTransform

FLOAT_BITS = 32
"""Bits of an element of an update that no transform has changed."""


@dataclass(frozen=True)
class Sent:
    """An update as it travels.

    Attributes:
        values: what the last transform sends instead of the numbers; without transforms the
            update itself.
        steps: what each transform made, in the order of the job, without its values: these were
            the next one's input.
        num_bytes: bytes of the values at their bits, and of all that is sent beside them.
    """

    values: Tensor
    steps: tuple[Encoded, ...]
    num_bytes: int


def encode(
    transforms: Sequence[UpdateTransform], update: Tensor, seed: int, round: int, client: int
) -> Sent:
    """What a client sends for its update; a pure function of its arguments.

    Args:
        transforms: the first one encodes first; none: the update travels as it is.
        update: shape (d,), float32.
        seed: of the job.
        round: from 0.
        client: number of the client.
    """
    values, steps = update, []
    for place, transform in enumerate(transforms):
        random = generator(seed, "update_transform", place, round, client)
        encoded = transform.encode(values, random)
        values = encoded.values
        steps.append(replace(encoded, values=values[:0]))
    beside = sum(step.num_bytes for step in steps)
    return Sent(values, tuple(steps), num_bytes(transforms, len(values)) + beside)


def decode(transforms: Sequence[UpdateTransform], sent: Sent) -> Tensor:
    """The update that the server takes a message for, shape (d,), float32.

    Args:
        transforms: those that it was encoded by.
        sent: the message.
    """
    values = sent.values
    for transform, step in zip(reversed(transforms), reversed(sent.steps), strict=True):
        values = transform.decode(replace(step, values=values))
    return values


def num_bytes(transforms: Sequence[UpdateTransform], num_values: int) -> int:
    """Bytes of the final values, of which each takes the bits of the last transform to say."""
    said = [transform.bits for transform in transforms if transform.bits is not None]
    return math.ceil(num_values * (said[-1] if said else FLOAT_BITS) / 8)
