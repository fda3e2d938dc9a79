"""Which part dies where parts are joined: the one whose eldest member is the younger.

Parts are joined in the order of time, those that are joined already are not joined again. Most is
found for all at once: a member whose first join is with an elder one dies there, whatever happens
before, and is counted to the elder one from then on. What is left goes one by one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trainwright_objectives.lower_links import Ints

_FEW, _ROUNDS = 300, 8
"""So few joins go one by one, and so many rounds go before at most."""
_NEVER = np.iinfo(np.int64).max


def deaths(pairs: Ints, time: Ints, age: Ints) -> Ints:
    """At each join, the eldest member of the part that dies.

    Args:
        pairs: members that are joined, shape (2, k).
        time: of each join, no two equal, shape (k,).
        age: of all members, no two in one part equal; the lower, the elder; shape (n,).

    Returns:
        Shape (k,); -1 where both belong to one part already.
    """
    members, pairs = _numbered(pairs, len(age))
    age = age[members]
    died = np.full(len(time), -1)
    left = np.flatnonzero(pairs[0] != pairs[1])
    pairs, time = pairs.take(left, axis=1), time.take(left)
    for _ in range(_ROUNDS):
        if len(left) < _FEW:
            break
        gone, into, dies = _first_joins(pairs, time, age)
        died[left[dies]] = gone
        pairs = ends(into).take(pairs)
        rest = np.flatnonzero((pairs[0] != pairs[1]) & ~dies)
        left, pairs, time = left.take(rest), pairs.take(rest, axis=1), time.take(rest)
    order = time.argsort()
    names, few = _numbered(pairs.take(order, axis=1), len(age))
    died[left[order]] = np.append(names, -1)[_in_turn(few.T.tolist(), age[names].tolist())]
    found: Ints = np.append(members, -1)[died]
    return found


def _first_joins(pairs: Ints, time: Ints, age: Ints) -> tuple[Ints, Ints, NDArray[np.bool_]]:
    """Who dies at a first join, to which member each is counted then, and at which joins it is."""
    first = np.full(len(age), _NEVER)
    for side in pairs:
        np.minimum.at(first, side, time)
    one, other = pairs
    swap = age[one] > age[other]
    younger, elder = np.where(swap, one, other), np.where(swap, other, one)
    dies = first[younger] == time
    gone, into = younger[dies], np.arange(len(age))
    into[gone] = elder[dies]
    return gone, into, dies


def ends(into: Ints) -> Ints:
    """Where one comes to that goes on, from each member, until it stays."""
    while not np.array_equal(into, further := into.take(into)):
        into = further
    return into


def _numbered(members: Ints, count: int) -> tuple[Ints, Ints]:
    """Which of ``count`` members there are, in order, and their numbers among these."""
    there = np.zeros(count, dtype=bool)
    there[members] = True
    names = np.flatnonzero(there)
    number = np.empty(count, dtype=np.int64)
    number[names] = np.arange(len(names))
    return names, number[members]


def _in_turn(pairs: list[list[int]], ages: list[int]) -> Ints:
    """The same one by one, in the order of the pairs."""
    parent = list(range(len(ages)))
    died = []
    for a, b in pairs:
        while parent[a] != a:
            parent[a] = a = parent[parent[a]]
        while parent[b] != b:
            parent[b] = b = parent[parent[b]]
        if a == b:
            died.append(-1)
            continue
        if ages[a] > ages[b]:
            a, b = b, a
        parent[b] = a
        died.append(b)
    return np.array(died, dtype=np.int64)
