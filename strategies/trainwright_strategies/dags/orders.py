"""Linear models over an order of the nodes: the best weights, their score, search by swaps.

``moments`` is S = X^T X / n of centred samples (n, d), all that these functions see of the data. A
weight ``w[i, j]`` other than 0 is an edge from i to j; in an order earlier nodes may point to later
ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Move = Literal["swap", "later", "earlier"]

TOLERANCE = 1e-12
"""A score must fall by more than this share of itself, or ties would go round in circles."""


def fit_node(moments: Matrix, node: int, before: Sequence[int]) -> tuple[Matrix, float]:
    """The best weights from the nodes ``before`` to ``node``, and half its mean squared residual.

    Where there are fewer samples than nodes before it, the weights of smallest norm.
    """
    own = moments[node, node]
    if not len(before):
        return np.zeros(0), 0.5 * float(own)
    rows = np.asarray(before)
    among, target = moments[np.ix_(rows, rows)], moments[rows, node]
    weights: Matrix = np.linalg.lstsq(among, target, rcond=None)[0]
    explained = weights @ (2 * target - among @ weights)
    return np.asarray(weights, dtype=np.float64), 0.5 * float(own - explained)


def fit_order(moments: Matrix, order: Sequence[int]) -> tuple[Matrix, float]:
    """The best weights (d, d) that the order allows, and their score."""
    found = np.zeros_like(moments)
    total = 0.0
    for place, node in enumerate(order):
        weights, score = fit_node(moments, node, order[:place])
        found[order[:place], node] = weights
        total += score
    return found, total


def score_gradient(moments: Matrix, weights: Matrix) -> Matrix:
    """The gradient of the score of any weights."""
    gradient: Matrix = moments @ weights - moments
    return gradient


def acyclicity(weights: Matrix) -> tuple[float, Matrix]:
    """The value h = -log det(I - |W|), 0 without cycles, and its gradient by |W|.

    Entry (i, j) of the gradient adds up, over all directed walks from j to i, the products of
    their absolute weights: 0 where an edge from i to j would close no cycle.

    Raises:
        ValueError: the largest eigenvalue of |W| is 1 or more, so that the sum has no end.
    """
    size = np.abs(weights)
    if np.max(np.abs(np.linalg.eigvals(size))) >= 1:
        raise ValueError("the spectral radius of |W| must be below 1")
    rest = np.eye(len(weights)) - size
    gradient = np.asarray(np.linalg.inv(rest).T, dtype=np.float64)
    return -float(np.linalg.slogdet(rest)[1]), gradient


def kkt_violations(moments: Matrix, weights: Matrix, tolerance: float = 1e-6) -> int:
    """Edges that would close no cycle, and along which the score still falls."""
    free = acyclicity(weights)[1] <= tolerance
    return int((free & (np.abs(score_gradient(moments, weights)) > tolerance)).sum())


def pairs_of(
    moments: Matrix, weights: Matrix, order: Sequence[int], least_gradient: float = 0.0
) -> list[tuple[int, int]]:
    """All places (a, b), a before b, that may be swapped; the most promising first.

    They are sorted by the gradient of acyclicity at the edge from the later to the earlier node,
    least first, and where that is equal by the size of the score's gradient, largest first.
    """
    places = [(a, b) for b in range(len(order)) for a in range(b)]
    later = np.array([order[b] for _, b in places])
    earlier = np.array([order[a] for a, _ in places])
    walks = acyclicity(weights)[1][later, earlier]
    slope = np.abs(score_gradient(moments, weights)[later, earlier])
    ranking = np.lexsort((-slope, walks))
    return [places[index] for index in ranking if slope[index] >= least_gradient]


def moved(order: Sequence[int], a: int, b: int, move: Move = "swap") -> list[int]:
    """The order with its places a < b swapped, or the one's node put behind or before the other."""
    found = list(order)
    if move == "swap":
        found[a], found[b] = found[b], found[a]
    elif move == "later":
        found.insert(b, found.pop(a))
    else:
        found.insert(a, found.pop(b))
    return found


@dataclass(frozen=True)
class SwapSearch:
    """How orders are searched.

    Attributes:
        moments: of the data.
        size_small: pairs tried in each round.
        size_large: pairs tried where none of those helps.
        num_large: how many times that may help before it is not tried any more.
        least_gradient: pairs with a smaller gradient of the score are left out.
        move: what is done with a pair.
        max_rounds: rounds at most; None: until nothing helps.
    """

    moments: Matrix
    size_small: int
    size_large: int
    num_large: int = 1
    least_gradient: float = 0.0
    move: Move = "swap"
    max_rounds: int | None = None

    def __call__(self, start: Sequence[int]) -> Search:
        """Search from an order until nothing helps."""
        search = Search.at(self, start)
        while self.max_rounds is None or len(search.scores) <= self.max_rounds:
            if not search.advance():
                break
        return search


@dataclass
class Search:
    """One search, at an order.

    Attributes:
        options: how it searches.
        order: where it is.
        node_scores: what each place of the order adds to the score.
        scores: the score before the first round and after each.
        evaluations: orders that were scored.
        num_large: times that the large set of pairs helped.
    """

    options: SwapSearch
    order: list[int]
    node_scores: list[float]
    scores: list[float]
    evaluations: int = 1
    num_large: int = 0

    @classmethod
    def at(cls, options: SwapSearch, order: Sequence[int]) -> Search:
        """A search that has not begun."""
        scores = [fit_node(options.moments, v, order[:k])[1] for k, v in enumerate(order)]
        return cls(options, list(order), scores, [sum(scores)])

    @property
    def score(self) -> float:
        """Of the present order."""
        return self.scores[-1]

    @property
    def weights(self) -> Matrix:
        """The best ones of the present order."""
        return fit_order(self.options.moments, self.order)[0]

    def advance(self) -> bool:
        """One round: try pairs, make all moves that help and do not touch; whether any did."""
        options = self.options
        pairs = pairs_of(options.moments, self.weights, self.order, options.least_gradient)
        helping = self._helping(pairs[: options.size_small])
        if not helping and self.num_large < options.num_large:
            helping = self._helping(pairs[options.size_small : options.size_large])
            self.num_large += bool(helping)
        for a, b in _untouched(helping):
            self.node_scores[a : b + 1] = self._scores_within(a, b)
            self.order = moved(self.order, a, b, options.move)
        if helping:
            self.scores.append(sum(self.node_scores))
        return bool(helping)

    def _scores_within(self, a: int, b: int) -> list[float]:
        """What the places a to b would add if that pair were moved; the others stay as they are."""
        order = moved(self.order, a, b, self.options.move)
        return [
            fit_node(self.options.moments, order[place], order[:place])[1]
            for place in range(a, b + 1)
        ]

    def _helping(self, pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """The pairs whose move lowers the score, the best first."""
        changes = {
            (a, b): sum(self._scores_within(a, b)) - sum(self.node_scores[a : b + 1])
            for a, b in pairs
        }
        self.evaluations += len(pairs)
        helping = [pair for pair in pairs if changes[pair] < -TOLERANCE * abs(self.score)]
        return sorted(helping, key=lambda pair: changes[pair])


def _untouched(pairs: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """One pair after the other, unless its places overlap with those of one before it."""
    taken: list[tuple[int, int]] = []
    for a, b in pairs:
        if all(b < first or last < a for first, last in taken):
            taken.append((a, b))
            yield a, b
