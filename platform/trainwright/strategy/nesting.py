"""How the ``run`` hooks of several strategies act as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from trainwright.strategy.base import Strategy
from trainwright.strategy.compose import using
from trainwright.strategy.phases import MAIN, Fit, PhaseResult

if TYPE_CHECKING:
    from trainwright.data.rows import Rows


def wrap_run(strategies: Sequence[Strategy], fit: Fit) -> Callable[[], PhaseResult]:
    """All of training with every ``run`` hook around it; the first strategy is outermost.

    An outer strategy's ``fit("a")`` runs the ``run`` of the next one, whose ``fit("b")`` trains
    the phase ``a/b`` with the overrides of both; the inner one's count where both give one.
    """
    for strategy in reversed(using(strategies, "run")):
        fit = _Outer(strategy, fit)
    return fit


class _Passing:
    """The parts of ``fit`` that mean the same at every level."""

    def __init__(self, inner: Fit) -> None:
        self._inner = inner

    def weights(self) -> dict[str, Tensor]:
        return self._inner.weights()

    def edit(self, values: Mapping[str, Tensor]) -> None:
        self._inner.edit(values)

    def table(self) -> Rows:
        return self._inner.table()


class _Outer(_Passing):
    """``fit`` as the strategies outside of one strategy see it: each call is a run of that one."""

    def __init__(self, strategy: Strategy, inner: Fit) -> None:
        super().__init__(inner)
        self._strategy = strategy

    def __call__(self, phase: str = MAIN, **overrides: Any) -> PhaseResult:
        given = {name: value for name, value in overrides.items() if value is not None}
        within = _Within(self._inner, phase, given)
        self._strategy.run(within)
        if within.result is None:
            raise RuntimeError(f"{type(self._strategy).__name__}.run did not call fit")
        return within.result


class _Within(_Passing):
    """``fit`` inside one phase of a strategy further out, with that phase's overrides."""

    def __init__(self, inner: Fit, phase: str, overrides: dict[str, Any]) -> None:
        super().__init__(inner)
        self._phase = phase
        self._overrides = overrides
        self.result: PhaseResult | None = None

    def __call__(self, phase: str = MAIN, **overrides: Any) -> PhaseResult:
        names = [name for name in (self._phase, phase) if name != MAIN]
        given = {name: value for name, value in overrides.items() if value is not None}
        outer = self._overrides
        if given.keys() & {"epochs", "steps"}:
            outer = {name: v for name, v in outer.items() if name not in ("epochs", "steps")}
        for options in given.keys() & outer.keys() & {"optimizer"}:
            given[options] = {**outer[options], **given[options]}
        self.result = self._inner("/".join(names) or MAIN, **{**outer, **given})
        # Only what comes first in the outer phase starts from the weights that it asked for.
        self._overrides.pop("weights", None)
        return self.result
