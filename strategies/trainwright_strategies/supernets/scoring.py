"""Architectures of a trained supernet with the weights that they inherit: scores, latency."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import islice

import torch
from torch import Tensor, nn

from trainwright.procedure import TrainedRun
from trainwright_strategies.layers.averaged import has_statistics, recalibrate
from trainwright_strategies.supernets.protocol import find_supernet
from trainwright_strategies.supernets.space import Path

_WARM_UP = 3
"""Forward passes before those that are timed."""


@dataclass(frozen=True)
class Scorer:
    """Scores paths by a metric of the supernet's run; it can travel to another process.

    Attributes:
        run: the supernet's.
        metric: ``loss``, or a metric of the run's job.
        goal: 1 where more of it is better, -1 where less is.
        split: samples on which it is measured.
        recalibrate: training batches from which batch normalisation takes its statistics for
            each path, where it keeps any.
    """

    run: TrainedRun
    metric: str
    goal: int
    split: str
    recalibrate: int

    def __call__(self, paths: Sequence[Sequence[int]]) -> list[float]:
        """The score of each path, the larger the better; that of a NaN is the smallest."""
        bench = bench_of(self)
        return [bench.score(tuple(path)) for path in paths]


class Bench:
    """A trained supernet, any path of which can be set.

    Args:
        scorer: says whose, and how paths are scored.
    """

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self.model = scorer.run.model()
        self.supernet = find_supernet(self.model)
        self._calibrates = scorer.recalibrate > 0 and has_statistics(self.model)

    def set(self, path: Path) -> nn.Module:
        """The model at a path, its running statistics taken anew; the same object each time."""
        self.supernet.path = path
        if self._calibrates:
            recalibrate(_Bound(self._scorer.run, self.model), self._batches)
        return self.model

    def score(self, path: Path) -> float:
        """See :class:`Scorer`."""
        scorer = self._scorer
        value = scorer.run.evaluate(scorer.split, self.set(path))[scorer.metric]
        return -math.inf if math.isnan(value) else scorer.goal * value

    @torch.no_grad()
    def latency_ms(self, path: Path, batch: Mapping[str, Tensor], repeats: int) -> float:
        """Median time of a forward pass on a batch, in milliseconds, in this process."""
        self.supernet.path = path
        times = []
        for _ in range(_WARM_UP + repeats):
            start = time.perf_counter()
            self._scorer.run.forward(batch, self.model)
            times.append(time.perf_counter() - start)
        return 1000 * statistics.median(times[_WARM_UP:])

    def inherited(self, path: Path) -> nn.Module:
        """The architecture of a path alone, with the supernet's weights.

        Raises:
            ValueError: the plugin does not make it with weights of the same names and shapes.
        """
        alone = self._scorer.run.untrained({"path": list(path)})
        trained = self.set(path).state_dict()
        wanted = alone.state_dict()
        wrong = [n for n, w in wanted.items() if n not in trained or trained[n].shape != w.shape]
        if wrong:
            raise ValueError(
                "with the option path the model has other weights than the supernet: "
                f"{', '.join(wrong[:3])}; an architecture alone must keep the names"
            )
        alone.load_state_dict({name: trained[name] for name in wanted})
        return alone

    @cached_property
    def _batches(self) -> list[dict[str, Tensor]]:
        return list(islice(self._scorer.run.batches("train"), self._scorer.recalibrate))


@lru_cache(maxsize=2)
def bench_of(scorer: Scorer) -> Bench:
    """One for all calls in a process."""
    return Bench(scorer)


class _Bound(nn.Module):
    """A model that is called with a batch of its run's samples."""

    def __init__(self, run: TrainedRun, model: nn.Module) -> None:
        super().__init__()
        self._run = run
        self._model = model

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        return next(iter(self._run.forward(batch, self._model).values()))
