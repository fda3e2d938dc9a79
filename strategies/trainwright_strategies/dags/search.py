"""Search over orders of nodes by swaps: TOPO, for any score that is a sum over the nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import torch

from trainwright_objectives.acyclicity import Acyclicity, walks
from trainwright_strategies.dags.graphs import Matrix
from trainwright_strategies.dags.scores import Fit, OrderScore

Move = Literal["swap", "later", "earlier"]
Pair = tuple[int, int]


class Work(Protocol):
    """Does what takes time: the context of a procedure, or :class:`InPlace`."""

    def step(self, name: str, function: Callable[..., Any], *args: Any) -> Any:
        """The result of ``function(*args)``."""
        ...

    def map(self, function: Callable[[Any], Any], items: Iterable[Any], name: str) -> list[Any]:
        """The results of ``function(item)``, in the order of the items."""
        ...


class InPlace:
    """Works at once, in this process, and records nothing."""

    def step(self, name: str, function: Callable[..., Any], *args: Any) -> Any:
        """See :class:`Work`."""
        return function(*args)

    def map(self, function: Callable[[Any], Any], items: Iterable[Any], name: str) -> list[Any]:
        """See :class:`Work`."""
        return [function(item) for item in items]


def fitted(
    score: OrderScore, order: Sequence[int], places: Iterable[int], warm: Sequence[Fit | None]
) -> list[Fit]:
    """The fits of the nodes at these places of an order, from fits of all nodes or of none."""
    found = []
    for place in places:
        last = warm[order[place]] if warm else None
        node, before = order[place], order[:place]
        found.append(score.fit(node, before, None if last is None else last.weights))
    return found


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


def ranked(
    order: Sequence[int], between: Matrix, slope: Matrix, least_gradient: float = 0.0
) -> list[Pair]:
    """All places (a, b), a before b, that may be swapped; the most promising first.

    They are sorted by the walks that an edge from the later to the earlier node would close to
    cycles, least first, and where those are equal by the size of the score's gradient, largest
    first.

    Args:
        order: of the nodes.
        between: gradient of acyclicity, shape (d, d).
        slope: of the score, shape (d, d).
        least_gradient: pairs with a smaller slope are left out.
    """
    places = [(a, b) for b in range(len(order)) for a in range(b)]
    later = np.array([order[b] for _, b in places])
    earlier = np.array([order[a] for a, _ in places])
    steep = np.abs(slope[later, earlier])
    ranking = np.lexsort((-steep, between[later, earlier]))
    return [places[index] for index in ranking if steep[index] >= least_gradient]


@dataclass(frozen=True)
class Trial:
    """Tells what moves would change; it can travel to another process.

    Attributes:
        score: of orders.
        order: before the move.
        fits: of all nodes, in that order.
        move: what is done with a pair.
    """

    score: OrderScore
    order: Sequence[int]
    fits: Sequence[Fit]
    move: Move

    def __call__(self, pairs: Sequence[Pair]) -> list[float]:
        """The change of the score by each pair; nodes outside of its places keep their fits."""
        return [self._change(a, b) for a, b in pairs]

    def _change(self, a: int, b: int) -> float:
        order = moved(self.order, a, b, self.move)
        after = fitted(self.score, order, range(a, b + 1), self.fits)
        before = (self.fits[node].score for node in self.order[a : b + 1])
        return sum(fit.score for fit in after) - sum(before)


@dataclass(frozen=True)
class SwapSearch:
    """How orders are searched.

    Attributes:
        score: of orders.
        size_small: pairs tried in each round.
        size_large: pairs tried where none of those helps.
        num_large: how many times that may help before it is not tried any more.
        least_gradient: pairs with a smaller gradient of the score are left out.
        move: what is done with a pair.
        max_rounds: rounds at most; None: until nothing helps.
        acyclicity: whose gradient ranks the pairs.
        pieces: into which the pairs of a round are cut, to be tried side by side.
    """

    score: OrderScore
    size_small: int
    size_large: int
    num_large: int = 1
    least_gradient: float = 0.0
    move: Move = "swap"
    max_rounds: int | None = None
    acyclicity: Acyclicity = "logdet"
    pieces: int = 1

    def checked(self, order: Sequence[int]) -> list[int]:
        """An order of the nodes.

        Raises:
            ValueError: it is none.
        """
        d = self.score.num_nodes
        if sorted(order) != list(range(d)):
            raise ValueError(
                f"an order must have each of the nodes 0 to {d - 1} once, got {list(order)}"
            )
        return list(order)

    def score_of(self, order: Sequence[int]) -> float:
        """What an order scores without any move."""
        return sum(fit.score for fit in fitted(self.score, order, range(len(order)), []))

    def __call__(self, start: Sequence[int], work: Work | None = None) -> Search:
        """Search from an order until nothing helps.

        Raises:
            ValueError: it is no order of the nodes.
        """
        search = Search.at(self, start, work or InPlace())
        while self.max_rounds is None or len(search.scores) <= self.max_rounds:
            if not search.advance():
                break
        return search


@dataclass
class Search:
    """One search, at an order.

    Attributes:
        options: how it searches.
        work: does what takes time.
        order: where it is.
        fits: of all nodes.
        scores: the score before the first round and after each.
        evaluations: orders that were scored.
        num_large: times that the large set of pairs helped.
    """

    options: SwapSearch
    work: Work
    order: list[int]
    fits: list[Fit]
    scores: list[float] = field(default_factory=list)
    evaluations: int = 1
    num_large: int = 0

    @classmethod
    def at(cls, options: SwapSearch, start: Sequence[int], work: Work) -> Search:
        """A search that has not begun."""
        order = options.checked(start)
        places = range(len(order))
        fits = _fits(work.step("start/fit", fitted, options.score, order, places, []))
        search = cls(options, work, order, [fits[order.index(node)] for node in places])
        search.scores.append(search._total())
        return search

    @property
    def score(self) -> float:
        """Of the present order."""
        return self.scores[-1]

    @property
    def weights(self) -> Matrix:
        """Those of the graph (d, d)."""
        return self.options.score.adjacency(self.fits)

    def advance(self) -> bool:
        """One round: try pairs, make moves that help and do not touch; whether any did."""
        options, weights = self.options, self.weights
        between = walks(torch.from_numpy(np.abs(weights)), options.acyclicity).numpy()
        slope = options.score.slope(self.fits)
        pairs = ranked(self.order, between, slope, options.least_gradient)
        helping = self._helping("small", pairs[: options.size_small])
        if not helping and self.num_large < options.num_large:
            helping = self._helping("large", pairs[options.size_small : options.size_large])
            self.num_large += bool(helping)
        if helping:
            self._move(list(_untouched(helping)))
        return bool(helping)

    def _move(self, pairs: Sequence[Pair]) -> None:
        """Make moves that do not touch, and fit the nodes between again."""
        for a, b in pairs:
            self.order = moved(self.order, a, b, self.options.move)
        places = [place for a, b in pairs for place in range(a, b + 1)]
        name, score = f"{self._round}/fit", self.options.score
        fits = _fits(self.work.step(name, fitted, score, self.order, places, self.fits))
        for place, fit in zip(places, fits, strict=True):
            self.fits[self.order[place]] = fit
        self.scores.append(self._total())

    def _helping(self, name: str, pairs: Sequence[Pair]) -> list[Pair]:
        """The pairs whose move lowers the score, the best first; or only the first in order."""
        options = self.options
        trial = Trial(options.score, list(self.order), list(self.fits), options.move)
        enough = -options.score.least_gain * abs(self.score)
        if not options.score.first_helping:
            size = max(1, -(-len(pairs) // options.pieces))
            parts = [pairs[first : first + size] for first in range(0, len(pairs), size)]
            found = self.work.map(trial, parts, name=f"{self._round}/{name}")
            changes = [change for part in found for change in part]
            self.evaluations += len(pairs)
            helping = sorted(
                (c, pair) for c, pair in zip(changes, pairs, strict=True) if c < enough
            )
            return [pair for _, pair in helping]
        for first in range(0, len(pairs), options.pieces):
            some = pairs[first : first + options.pieces]
            found = self.work.map(trial, [[pair] for pair in some], f"{self._round}/{name}/{first}")
            for pair, (change,) in zip(some, found, strict=True):
                self.evaluations += 1
                if change < enough:
                    return [pair]
        return []

    @property
    def _round(self) -> str:
        return f"round_{len(self.scores)}"

    def _total(self) -> float:
        return sum(self.fits[node].score for node in self.order)


def _fits(found: Iterable[Any]) -> list[Fit]:
    """Fits as they come back from a recorded step."""
    return [Fit(np.asarray(weights), score) for weights, score in found]


def _untouched(pairs: Sequence[Pair]) -> Iterator[Pair]:
    """One pair after the other, unless its places overlap with those of one before it."""
    taken: list[Pair] = []
    for a, b in pairs:
        if all(b < first or last < a for first, last in taken):
            taken.append((a, b))
            yield a, b
