"""Send the signs of an update's elements, and how large they are in the mean."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from trainwright.federated import Encoded, UpdateTransform
from trainwright_strategies.update_transforms.buckets import (
    SCALE_BYTES,
    check_bucket_size,
    in_buckets,
)


class Sign(UpdateTransform):
    """Send the sign of each element and the mean size of all, one bit for each: scaled sign.

    Equation:
        decode(encode(x))_i = c * sign(x_i), where c is the mean of |x_j| over the element's bucket
        and sign(0) = 1. No other multiple of the signs is nearer to x:
        |x - decode(encode(x))|^2 = |x|^2 - |x|_1^2 / d, for one bucket.

    Args:
        bucket_size: elements that share a scale, which takes 4 bytes; null: one scale for the
            whole update. Suggested: 512, for tensors of a model differ in the size of their
            updates.

    Needs:
        Nothing. It is biased: what is lost is lost, and no memory of it is kept at the clients.
        One bit that is right in the mean, but has more variance: ``quantize`` with ``bits: 1``.

    Measured:
        A million normally distributed elements, one CPU core: 4 ms to encode, 0.4 ms to decode;
        the error is 0.60 of the norm. What that does to training was not measured.

    Source:
        S. P. Karimireddy, Q. Rebjock, S. Stich, M. Jaggi, "Error Feedback Fixes SignSGD and other
        Gradient Compression Schemes", ICML 2019, arXiv 1901.09847, without the error feedback.

    Raises:
        ValueError: the size of the buckets is out of range.
    """

    bits = 1

    def __init__(self, bucket_size: Annotated[int, Field(ge=1)] | None = None) -> None:
        check_bucket_size(bucket_size)
        self.bucket_size = bucket_size

    def encode(self, update: Tensor, generator: torch.Generator) -> Encoded:
        """Signs, 1 or -1, and the scale of each bucket."""
        sizes = in_buckets(update.abs(), self.bucket_size)
        counts = in_buckets(torch.ones_like(update), self.bucket_size).sum(dim=1)
        scale = sizes.sum(dim=1) / counts.clamp(min=1)
        signs = torch.where(update < 0, -1.0, 1.0)
        return Encoded(signs, {"scale": scale}, len(update), SCALE_BYTES * len(scale))

    def decode(self, encoded: Encoded) -> Tensor:
        """Signs times their bucket's scale."""
        rows = in_buckets(encoded.values, self.bucket_size)
        return (rows * encoded.side["scale"].unsqueeze(1)).flatten()[: encoded.size]
