"""Batch normalisation layers whose statistics are those of small parts of the batch."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from trainwright_objectives.precision import at_least_float32
from trainwright_strategies.layers import ghost_moments

RunningStats = Literal["sequential", "scaled"]
OnRemainder = Literal["short", "merge", "error"]

VECTORISE_BELOW = 4096
"""Elements in a ghost batch below which, on a CPU, one call over all ghost batches is faster than
one call for each, in spite of the two copies it makes (measured on one core)."""


def ghost_sizes(
    num_samples: int, ghost_batch_size: int, values_per_sample: int, on_remainder: OnRemainder
) -> list[int]:
    """The sizes of the consecutive ghost batches into which a batch is cut.

    Args:
        num_samples: size of the batch.
        ghost_batch_size: size of a full ghost batch.
        values_per_sample: values of one channel in one sample (1 without spatial dimensions).
        on_remainder: what becomes of the samples left over; ``short``: a ghost batch of their
            own, or part of the last full one where it would hold a single value per channel.

    Raises:
        ValueError: samples are left over and ``on_remainder`` is ``error``, or a full ghost batch
            has a single value per channel, whose variance is 0.
    """
    if ghost_batch_size * values_per_sample < 2:
        raise ValueError(
            "ghost batches of 1 sample have no variance where a sample has one value per channel: "
            "choose a ghost_batch_size of at least 2"
        )
    if num_samples <= ghost_batch_size:
        return [num_samples]
    full, left = divmod(num_samples, ghost_batch_size)
    sizes = [ghost_batch_size] * full
    if left == 0:
        return sizes
    if on_remainder == "error":
        raise ValueError(
            f"a batch of {num_samples} does not divide into ghost batches of {ghost_batch_size} "
            "and on_remainder is 'error': choose 'short' or 'merge', or sizes that divide"
        )
    if on_remainder == "merge" or left * values_per_sample < 2:
        sizes[-1] += left
        return sizes
    return [*sizes, left]


class GhostNorm(_BatchNorm):
    """Batch normalisation whose statistics, in training, are those of each ghost batch alone.

    Holds the very parameters and buffers of the layer it is made from, under the same names.
    In evaluation, and for a batch no larger than one ghost batch, it IS the ordinary layer.
    """

    ghost_batch_size: int
    running_stats: RunningStats
    on_remainder: OnRemainder

    @classmethod
    def from_layer(
        cls,
        layer: _BatchNorm,
        ghost_batch_size: int,
        running_stats: RunningStats,
        on_remainder: OnRemainder,
    ) -> GhostNorm:
        """A ghost layer that takes over the parameters and buffers of ``layer``."""
        ghost = cls(layer.num_features, layer.eps, layer.momentum, layer.affine, device="meta")
        ghost._parameters.update(layer._parameters)
        ghost._buffers.update(layer._buffers)
        ghost.training = layer.training
        ghost.ghost_batch_size = ghost_batch_size
        ghost.running_stats = running_stats
        ghost.on_remainder = on_remainder
        return ghost

    def forward(self, input: Tensor) -> Tensor:
        """Normalise ``input`` (B, C) or (B, C, *spatial)."""
        self._check_input_dim(input)  # type: ignore[no-untyped-call]
        if not self.training:
            return self._evaluated(input)
        if len(input) <= self.ghost_batch_size:
            return self._in_turn(input, [len(input)], self._factors(1))
        values_per_sample = input[0, 0].numel()
        sizes = ghost_sizes(len(input), self.ghost_batch_size, values_per_sample, self.on_remainder)
        factors = self._factors(len(sizes))
        even = len(set(sizes)) == 1
        if even and _prefers_one_call(input, sizes[0] * input.shape[1] * values_per_sample):
            return self._in_one_call(input, factors)
        assert self.running_mean is not None
        precision = at_least_float32(self.running_mean).dtype
        if even and ghost_moments.applies(input, self.weight, self.bias, precision):
            return self._in_few_passes(input, factors)
        return self._in_turn(input, sizes, factors)

    def _factors(self, num_ghosts: int) -> list[float]:
        """The weight of each ghost batch in the running statistics when its turn comes."""
        assert self.num_batches_tracked is not None
        if self.running_stats == "scaled":
            assert self.momentum is not None
            self.num_batches_tracked.add_(1)
            return [self.momentum / num_ghosts] * num_ghosts
        if self.momentum is not None:
            self.num_batches_tracked.add_(num_ghosts)
            return [self.momentum] * num_ghosts
        seen = int(self.num_batches_tracked)
        self.num_batches_tracked.add_(num_ghosts)
        return [1.0 / (seen + turn) for turn in range(1, num_ghosts + 1)]

    def _evaluated(self, input: Tensor) -> Tensor:
        mean, variance = _precise(self.running_mean), _precise(self.running_var)
        weight, bias = _precise(self.weight), _precise(self.bias)
        return functional.batch_norm(input, mean, variance, weight, bias, False, 0.0, self.eps)

    def _in_turn(self, input: Tensor, sizes: list[int], factors: list[float]) -> Tensor:
        """One call for each ghost batch, which moves the running statistics itself."""
        mean, variance = _precise(self.running_mean), _precise(self.running_var)
        weight, bias = _precise(self.weight), _precise(self.bias)
        parts = [
            functional.batch_norm(part, mean, variance, weight, bias, True, factor, self.eps)
            for part, factor in zip(torch.split(input, sizes), factors, strict=True)
        ]
        _store(self.running_mean, mean)
        _store(self.running_var, variance)
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _in_few_passes(self, input: Tensor, factors: list[float]) -> Tensor:
        """All ghost batches at once, without a copy on the way forward."""
        mean, variance = _precise(self.running_mean), _precise(self.running_var)
        assert mean is not None
        assert variance is not None
        weight, bias = _precise(self.weight), _precise(self.bias)
        output, means, variances = ghost_moments.normalise(
            input, weight, bias, len(factors), self.eps
        )
        fold_(mean, means, factors)
        fold_(variance, variances, factors)
        _store(self.running_mean, mean)
        _store(self.running_var, variance)
        return output

    def _in_one_call(self, input: Tensor, factors: list[float]) -> Tensor:
        """All ghost batches as channels of one batch: (K*G, C, S) -> (G, K*C, S) and back."""
        num_ghosts, channels = len(factors), input.shape[1]
        size = len(input) // num_ghosts
        mean, variance = _precise(self.running_mean), _precise(self.running_var)
        weight, bias = _precise(self.weight), _precise(self.bias)
        assert mean is not None
        assert variance is not None
        means = mean.new_zeros(num_ghosts * channels)
        variances = torch.zeros_like(means)
        by_ghost = input.reshape(num_ghosts, size, channels, -1).transpose(0, 1)
        normalised = functional.batch_norm(
            by_ghost.reshape(size, num_ghosts * channels, -1), means, variances,
            None if weight is None else weight.repeat(num_ghosts),
            None if bias is None else bias.repeat(num_ghosts),
            True, 1.0, self.eps,
        )  # fmt: skip
        fold_(mean, means.view(num_ghosts, channels), factors)
        fold_(variance, variances.view(num_ghosts, channels), factors)
        _store(self.running_mean, mean)
        _store(self.running_var, variance)
        output = normalised.view(size, num_ghosts, channels, -1).transpose(0, 1)
        return output.reshape(input.shape)

    def extra_repr(self) -> str:
        """The layer's options, for ``print(model)``."""
        inherited = super().extra_repr()  # type: ignore[no-untyped-call]
        return (
            f"{inherited}, ghost_batch_size={self.ghost_batch_size}, "
            f"running_stats={self.running_stats!r}, on_remainder={self.on_remainder!r}"
        )


def fold_(running: Tensor, statistics: Tensor, factors: list[float]) -> None:
    """Move ``running`` (C,) in place as if the rows of ``statistics`` (K, C) came in turn.

    The closed form of ``running = (1 - f) * running + f * row`` for each row and its factor.
    """
    kept = 1.0
    weights = []
    for factor in reversed(factors):
        weights.append(kept * factor)
        kept *= 1.0 - factor
    weights.reverse()
    running.mul_(kept).add_(running.new_tensor(weights) @ statistics)


def _precise(tensor: Tensor | None) -> Tensor | None:
    """``tensor`` itself, or a float32 copy of half-precision values.

    With half-precision parameters torch keeps the mean of the batch in half precision too.
    """
    return None if tensor is None else at_least_float32(tensor)


def _store(buffer: Tensor | None, value: Tensor | None) -> None:
    if buffer is not None and value is not None and value is not buffer:
        buffer.copy_(value)


def _prefers_one_call(input: Tensor, ghost_elements: int) -> bool:
    """Whether calls for each ghost batch would cost more than two copies of the input."""
    return input.device.type != "cpu" or ghost_elements < VECTORISE_BELOW


class GhostBatchNorm1d(GhostNorm, nn.BatchNorm1d):
    """Ghost batch normalisation of (B, C) or (B, C, L)."""


class GhostBatchNorm2d(GhostNorm, nn.BatchNorm2d):
    """Ghost batch normalisation of (B, C, H, W)."""


class GhostBatchNorm3d(GhostNorm, nn.BatchNorm3d):
    """Ghost batch normalisation of (B, C, D, H, W)."""
