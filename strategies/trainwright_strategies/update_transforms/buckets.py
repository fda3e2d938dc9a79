"""A vector cut into buckets of equal size, each of which has a scale of its own."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import pad

from trainwright_objectives.options import check_whole

SCALE_BYTES = 4
"""What a scale takes when it is sent: a float32."""


def check_bucket_size(bucket_size: int | None) -> None:
    """Refuse what is no size of a bucket.

    Raises:
        ValueError: it is neither None nor a whole number of at least 1.
    """
    if bucket_size is not None:
        check_whole("bucket_size", bucket_size)


def in_buckets(vector: Tensor, bucket_size: int | None) -> Tensor:
    """The vector (d,) as rows of one bucket each, the last one filled up with zeros.

    Args:
        vector: shape (d,).
        bucket_size: elements of a bucket; None: one bucket holds them all.

    Returns:
        Shape (buckets, bucket_size).
    """
    width = bucket_size or max(len(vector), 1)
    return pad(vector, (0, -len(vector) % width)).view(-1, width)
