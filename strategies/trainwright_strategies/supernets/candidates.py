"""Paths in a procedure: held against the bounds, scored side by side, each part recorded."""

from __future__ import annotations

from trainwright.errors import InputError, Problem
from trainwright.procedure import ProcedureContext
from trainwright_strategies.supernets.limits import Limits, least
from trainwright_strategies.supernets.protocol import Supernet
from trainwright_strategies.supernets.ranking import Scored
from trainwright_strategies.supernets.scoring import Scorer, bench_of
from trainwright_strategies.supernets.search import RandomSearch, Search
from trainwright_strategies.supernets.space import Path

_ITEMS = 64
"""Tasks at most into which a generation is cut."""
_BARREN = 20
"""Generations in a row without a path that is fast enough, after which a search ends."""


class Candidates:
    """The paths of a supernet that keep the bounds; what is measured is recorded by the context.

    Args:
        context: of the procedure.
        scorer: scores paths.
        supernet: a copy of the one that is searched.
        limits: bounds that paths have to keep.
        latency: samples of a timed pass, and timed passes.
    """

    def __init__(
        self,
        context: ProcedureContext,
        scorer: Scorer,
        supernet: Supernet,
        limits: Limits,
        latency: tuple[int, int],
    ) -> None:
        self._context = context
        self._scorer = scorer
        self._supernet = supernet
        self._limits = limits
        self._latency = latency

    def fits(self, path: Path) -> bool:
        """Whether a path has few enough weights."""
        return self._limits.small_enough(self._supernet.parameters_of(path))

    def anchors(self) -> list[Path]:
        """The path that keeps each bound best: from there evolution gets on under tight ones.

        Raises:
            InputError: the fastest that was found is not fast enough.
        """
        found: list[Path] = []
        if self._limits.max_parameters is not None:
            smallest, _ = least(self._supernet.space, self._supernet.parameters_of)
            found.append(smallest)
        if self._limits.max_latency_ms is not None:
            path, latency = self._context.step("fastest", self._fastest)
            self._limits.refuse_latency(self._supernet.space, tuple(path), latency)
            found.append(tuple(path))
        return [path for path in dict.fromkeys(found) if self.fits(path)]

    def scored(self, search: Search, limit: int) -> list[Scored]:
        """What a search scores, in its order.

        Args:
            search: proposes paths.
            limit: how many to score at most.

        Raises:
            InputError: no path was found that keeps the bounds.
        """
        found: list[Scored] = []
        generation = barren = 0
        while len(found) < limit and barren < _BARREN:
            random = self._context.rng("generation", generation)
            proposed = search.propose(min(search.size, limit - len(found)), random)
            if not proposed:
                break
            new = self._generation(search, proposed, generation)
            found += new
            barren = 0 if new else barren + 1
            generation += 1
            if found:
                best = self._scorer.goal * max(one.score for one in found)
                self._context.log({f"search/{self._scorer.metric}": best}, step=len(found))
        if not found:
            message = "no path was found that keeps all bounds"
            raise InputError(Problem("procedure", message, mend="loosen one of them"))
        return found

    def _generation(self, search: Search, proposed: list[Path], number: int) -> list[Scored]:
        kept = self._fast_enough(proposed, f"latency_{number}")
        paths = list(kept)
        size = max(1, -(-len(paths) // _ITEMS))
        parts = [paths[first : first + size] for first in range(0, len(paths), size)]
        found = self._context.map(self._scorer, parts, name=f"generation_{number}")
        scores = [score for part in found for score in part]
        search.learn(paths, scores)
        return [
            Scored(path, score, self._supernet.parameters_of(path), kept[path])
            for path, score in zip(paths, scores, strict=True)
        ]

    def drawn(self, count: int) -> list[Path]:
        """Random paths that keep the bounds, up to ``count``."""
        search = RandomSearch(self._supernet.space, self.fits)
        found: list[Path] = []
        for attempt in range(_BARREN):
            if len(found) == count:
                break
            random = self._context.rng("references", attempt)
            proposed = search.propose(count - len(found), random)
            found += self._fast_enough(proposed, f"references_{attempt}")
        return found

    def latency_of(self, one: Scored) -> float:
        """Milliseconds of a forward pass, measured now where it was not before."""
        if one.latency_ms is not None:
            return one.latency_ms
        latencies: list[float] = self._context.step("latency", self._timed, [one.path])
        return latencies[0]

    def _fast_enough(self, paths: list[Path], name: str) -> dict[Path, float | None]:
        """Those of the paths that are fast enough, with their latencies."""
        if self._limits.max_latency_ms is None:
            return dict.fromkeys(paths)
        latencies = self._context.step(name, self._timed, paths)
        pairs = zip(paths, latencies, strict=True)
        return {path: latency for path, latency in pairs if self._limits.fast_enough(latency)}

    def _timed(self, paths: list[Path]) -> list[float]:
        size, repeats = self._latency
        batch = next(self._scorer.run.batches(self._scorer.split, size))
        bench = bench_of(self._scorer)
        return [bench.latency_ms(path, batch, repeats) for path in paths]

    def _fastest(self) -> tuple[Path, float]:
        return least(self._supernet.space, lambda path: self._timed([path])[0])
