"""The metric over one parameter after another."""

from __future__ import annotations

from collections.abc import Sequence

from trainwright.search.plots.rows import (
    JUDGED,
    Metric,
    NothingToSeeError,
    TrialRow,
    Valued,
    best_of,
    valued,
)
from trainwright.search.plots.scales import Scale
from trainwright.search.plots.style import BEST, LOOKS, explain
from trainwright.search.space.domain import Value
from trainwright.search.space.reading import Parameter
from trainwright.tracking.canvas import Canvas, Panel, is_wide


def draw_slices(
    rows: Sequence[TrialRow], parameters: Sequence[Parameter], metric: Metric, title: str
) -> Canvas:
    """A pair of axes for each parameter, with a mark for each trial in which it is active.

    Raises:
        NothingToSeeError: fewer than two trials have a value, or no parameter has two values.
    """
    known = valued(rows, metric)
    if len(known) < 2:
        raise NothingToSeeError("fewer than two trials have a value")
    varied = [p for p in parameters if len({repr(v) for v in _seen(known, p)}) > 1]
    if not varied:
        raise NothingToSeeError("no parameter has taken two values")
    columns = min(3, len(varied))
    canvas = Canvas(title, columns, -(-len(varied) // columns))
    best = best_of(rows, metric)
    for index, parameter in enumerate(varied):
        label = metric.name if index % columns == 0 else ""
        panel = canvas.panel(parameter.name, label, counts=False)
        _draw(panel, known, parameter, best)
        if index == 0:
            panel.axes.plot([], [], "D", color=BEST, label="best" if best else None)
            explain(panel.axes, {one.row.state for one in known})
    return canvas


def _draw(panel: Panel, known: Sequence[Valued], parameter: Parameter, best: Valued | None) -> None:
    axes, scale = panel.axes, Scale.of_parameter(parameter, _seen(known, parameter))

    def points(among: Sequence[Valued]) -> tuple[list[float], list[float]]:
        active = [one for one in among if parameter.name in one.row.assignment]
        xs = [scale.spread(o.row.assignment[parameter.name], o.row.number) for o in active]
        return xs, [one.value for one in active]

    for state in reversed(JUDGED):
        look = LOOKS[state]
        of_state = [one for one in known if one.row.state == state]
        axes.plot(*points(of_state), alpha=look.alpha, **look.marks(4.5))
    axes.plot(*points([best] if best else []), "D", color=BEST, markersize=7, zorder=4)
    places, labels = zip(*scale.ticks(), strict=True)
    crowded = scale.options is not None and sum(map(len, labels)) > 28
    axes.set_xticks(places, labels, rotation=20 if crowded else 0)
    axes.set_xlim(-0.04, 1.04)
    if is_wide([one.value for one in known]):
        axes.set_yscale("log")


def _seen(known: Sequence[Valued], parameter: Parameter) -> list[Value]:
    name = parameter.name
    return [one.row.assignment[name] for one in known if name in one.row.assignment]
