"""Counter-based random numbers: a pure function of a key and sample ids, with no generator state.

A number depends on ``(key, id, position in the shape)`` alone. Hence a sample gets the same noise
whatever batch, worker or order it comes in, and nothing has to be stored to resume. The bits come
from 64-bit integer mixing with the "variant 13" constants of D. Stafford (2011), as used by
SplitMix64 (Steele, Lea and Flood, OOPSLA 2014, doi:10.1145/2660193.2660195).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable

import torch

GOLDEN = -0x61C8864680B583EB  # 2**64 divided by the golden ratio, as a signed 64-bit number
FACTORS = -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15


def key(*parts: int | str) -> int:
    """A signed 64-bit key from numbers and names, the same in every process and version.

    Args:
        parts: what the numbers shall depend on besides the sample, e.g. ``(seed, "noise", epoch)``.
            ``1`` and ``"1"`` differ, and so do ``("ab", "c")`` and ``("a", "bc")``.
    """
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        text = f"{'s' if isinstance(part, str) else 'i'}{part}".encode()
        digest.update(len(text).to_bytes(8, "little") + text)
    return int.from_bytes(digest.digest(), "little", signed=True)


def generator(seed: int, *names: int | str) -> torch.Generator:
    """A CPU generator that depends on the seed and on what the numbers are for, on nothing else.

    For what is worked on in any order and anywhere. Where many such generators are made, bits are
    better: PyTorch keeps 32 bits of a generator's seed.

    Example:
        >>> bool(torch.randn(1, generator=generator(0, "noise", 3)) == torch.randn(
        ...     1, generator=generator(0, "noise", 3)))
        True
    """
    return torch.Generator().manual_seed(key(seed, *names) & (2**63 - 1))


def bits(key: int, ids: torch.Tensor, shape: tuple[int, ...] = ()) -> torch.Tensor:
    """Uniformly distributed 64-bit integers, int64 of shape ``(len(ids), *shape)``.

    Args:
        key: from :func:`key`.
        ids: one-dimensional int64 tensor; the result lies on its device.
        shape: shape of the numbers of one id.
    """
    rows = _mix(_mix(ids * GOLDEN + key) + key)
    positions = torch.arange(1, math.prod(shape) + 1, device=ids.device, dtype=torch.int64)
    # Positions are mixed too before they meet the rows: adding raw counters could make the
    # stream of one row a shifted copy of another row's.
    cells = rows.unsqueeze(1) ^ _mix(positions * GOLDEN)
    return _mix(cells).reshape(len(ids), *shape)


def uniform(key: int, ids: torch.Tensor, shape: tuple[int, ...] = ()) -> torch.Tensor:
    """Float32 numbers in [0, 1) of shape ``(len(ids), *shape)``, multiples of 2**-24.

    Exactly the same on every device. Arguments as for :func:`bits`.
    """
    return _shift(bits(key, ids, shape), 40).to(torch.float32) * 2.0**-24


def uniform64(key: int, ids: torch.Tensor, shape: tuple[int, ...] = ()) -> torch.Tensor:
    """Float64 numbers in [0, 1) of shape ``(len(ids), *shape)``, multiples of 2**-53.

    Exactly the same on every device. ``floor(n * number)`` is below ``n`` for whole ``n`` up to
    2**53. Arguments as for :func:`bits`.
    """
    return _shift(bits(key, ids, shape), 11).to(torch.float64) * 2.0**-53


def dirichlet(key: int, ids: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    """Shares from a Dirichlet distribution, float64 of shape ``(len(ids), k)``; rows sum to 1.

    Gamma variables of shape ``alpha + 1``, brought to shape ``alpha`` by a power of a uniform
    number, in logarithms, so that small ``alpha`` does not lose them all to underflow.

    Args:
        key: from :func:`key`.
        ids: as for :func:`bits`.
        alpha: shape (k,), above 0.
    """
    wide = alpha.to(torch.float64)
    powers = torch.log1p(-uniform64(~key, ids, (len(wide),))) / wide
    return (_gamma(key, ids, wide + 1).log() + powers).softmax(dim=1)


_TRIES = 4


def _gamma(key: int, ids: torch.Tensor, shape: torch.Tensor) -> torch.Tensor:
    """Numbers of gamma distributions, float64 of shape ``(len(ids), k)``; ``shape`` at least 1.

    By rejection (G. Marsaglia, W. W. Tsang, 2000). Nearly all of the first proposals are taken;
    the few that have none get others.
    """
    x = normal(key, ids, (_TRIES, len(shape))).to(torch.float64)
    # The numbers of the first half are made of the bits of which the normal ones are.
    u = uniform64(key, ids, (2 * _TRIES, len(shape)))[:, _TRIES:]
    d = shape - 1 / 3
    v = (1 + x / (9 * d).sqrt()).clamp_min(1e-9) ** 3
    is_taken = torch.log1p(-u) < x.square() / 2 + d - d * v + d * v.log()
    first = is_taken.to(torch.int8).argmax(dim=1, keepdim=True)
    found = (d * v).gather(1, first)[:, 0]
    missing = ~is_taken.any(dim=1)
    rows = missing.any(dim=1)
    if rows.any():
        others = _gamma(key + 1, ids[rows], shape)
        found[rows] = torch.where(missing[rows], others, found[rows])
    return found


def first_distinct(stream: Callable[[int], list[int]], size: int) -> list[int]:
    """The first ``size`` different numbers of an endless stream, in its order.

    Of independent draws that makes draws without replacement.

    Args:
        stream: gives what is in its first so many places; fewer where it passes some over.
        size: how many; with fewer different numbers in the stream this never ends.
    """
    places = size + size // 4 + 8
    while len(found := dict.fromkeys(stream(places))) < size:
        places *= 2
    return list(found)[:size]


def normal(key: int, ids: torch.Tensor, shape: tuple[int, ...] = ()) -> torch.Tensor:
    """Float32 numbers from the standard normal distribution, shape ``(len(ids), *shape)``.

    Box-Muller in float64, rounded to float32 at the end: another device's logarithm can change
    the last float32 digit in rare cases. Arguments as for :func:`bits`.
    """
    count = math.prod(shape)
    pairs = bits(key, ids, ((count + 1) // 2,))  # 64 bits give two numbers: radius and angle
    radius = _shift(pairs, 32).to(torch.float64).add_(0.5).mul_(2.0**-32).log_().mul_(-2.0).sqrt_()
    angle = (pairs & 0xFFFFFFFF).to(torch.float64).mul_(2.0 * math.pi * 2.0**-32)
    both = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=-1).to(torch.float32)
    return both.flatten(1)[:, :count].reshape(len(ids), *shape)


def integers(
    key: int, ids: torch.Tensor, low: int, high: int, shape: tuple[int, ...] = ()
) -> torch.Tensor:
    """Integers ``low <= number < high``, int64 of shape ``(len(ids), *shape)``.

    Exactly the same on every device; the bias is below ``(high - low) / 2**32``. Other arguments
    as for :func:`bits`.

    Raises:
        ValueError: the range is empty or wider than 2**31.
    """
    width = high - low
    if not 0 < width <= 2**31:
        raise ValueError(f"integers need 0 < high - low <= 2**31, got low={low}, high={high}")
    return low + _shift(_shift(bits(key, ids, shape), 32) * width, 32)


def _shift(x: torch.Tensor, count: int) -> torch.Tensor:
    """Logical right shift; torch's own copies the sign bit."""
    return (x >> count).bitwise_and_((1 << (64 - count)) - 1)


def _mix(x: torch.Tensor) -> torch.Tensor:
    """A bijection of 64-bit integers in which each input bit flips half of the output bits."""
    # In place after the first step: fresh memory for each step would double the time.
    x = _shift(x, 30).bitwise_xor_(x).mul_(FACTORS[0])
    x = _shift(x, 27).bitwise_xor_(x).mul_(FACTORS[1])
    return _shift(x, 31).bitwise_xor_(x)
