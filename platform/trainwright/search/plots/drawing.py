"""All pictures of a sweep."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from trainwright.search.plots.history import canvas_for, draw_curves, draw_history
from trainwright.search.plots.importance import Share, draw_importance, shares_of
from trainwright.search.plots.parallel import draw_parallel
from trainwright.search.plots.pareto import draw_pareto
from trainwright.search.plots.rows import Metric, NothingToSeeError, TrialRow, valued
from trainwright.search.plots.slices import draw_slices
from trainwright.search.space.reading import Parameter
from trainwright.search.space.space import Space
from trainwright.storage import Folder
from trainwright.tracking.canvas import Canvas, is_wide

MOST_PARAMETERS = 12
"""Parameters that have an axis or a slice of their own at most: the most important ones."""


@dataclass
class Drawn:
    """What came of drawing.

    Attributes:
        names: files written, relative to the sweep's folder.
        omitted: name of a picture -> why there is none.
    """

    names: list[str] = field(default_factory=list)
    omitted: dict[str, str] = field(default_factory=dict)


def draw(
    rows: Sequence[TrialRow],
    space: Space,
    metrics: Sequence[Metric],
    folder: Folder,
    title: str = "",
    resource: str = "epoch",
) -> Drawn:
    """Draw plots under ``plots/``, as far as there is something to see.

    They are ``history`` and ``curves`` of trials, ``importance`` of parameters, ``parallel``
    coordinates, ``pareto`` for several metrics, and ``slices`` for each metric.

    Args:
        rows: the trials.
        space: what they were chosen from.
        metrics: what they are judged by, the first one being the most important, at least one.
        folder: of the sweep.
        title: stands above all of them.
        resource: what curves go over: ``step``, ``epoch`` or ``round``.
    """
    drawn = Drawn()

    def picture(name: str, make: Callable[[], Canvas]) -> None:
        try:
            drawn.names.append(make().write(folder, name))
        except NothingToSeeError as reason:
            drawn.omitted[name] = str(reason)

    shares = _all_shares(rows, space, metrics)
    shown = _most_important(space.parameters, shares.get(metrics[0].name))
    heading = title
    if len(shown) < len(space.parameters):
        heading = f"{title} ({len(shown)} of {len(space.parameters)} parameters)".strip()
    picture("history", lambda: draw_history(rows, metrics, title))
    picture("curves", lambda: draw_curves(rows, metrics, title, resource))
    picture("parallel", lambda: draw_parallel(rows, shown, metrics, heading))
    picture("importance", lambda: _importances(rows, metrics, shares, title))
    picture("pareto", lambda: draw_pareto(rows, metrics, title))
    for metric in metrics:
        name = "slices" if len(metrics) == 1 else f"slices-{metric.name}"
        picture(name, partial(draw_slices, rows, shown, metric, heading))
    return drawn


def _all_shares(
    rows: Sequence[TrialRow], space: Space, metrics: Sequence[Metric]
) -> dict[str, list[Share] | NothingToSeeError]:
    """Name of a metric -> the shares of the parameters, or why there are none."""
    found: dict[str, list[Share] | NothingToSeeError] = {}
    for metric in metrics:
        try:
            found[metric.name] = shares_of(rows, space, metric)
        except NothingToSeeError as reason:
            found[metric.name] = reason
    return found


def _importances(
    rows: Sequence[TrialRow],
    metrics: Sequence[Metric],
    shares: Mapping[str, list[Share] | NothingToSeeError],
    title: str,
) -> Canvas:
    known = {name: found for name, found in shares.items() if isinstance(found, list) and found}
    if not known:
        reasons = [found for found in shares.values() if isinstance(found, NothingToSeeError)]
        raise reasons[0] if reasons else NothingToSeeError("no parameter has taken two values")
    canvas = canvas_for(title, len(known))
    for metric in metrics:
        if metric.name in known:
            values = [one.value for one in valued(rows, metric)]
            scaled = f"log {metric.name}" if is_wide(values) else metric.name
            panel = canvas.panel(f"share of the variance of\n{scaled}", "", counts=False)
            draw_importance(panel, known[metric.name][:MOST_PARAMETERS], len(values))
    return canvas


def _most_important(
    parameters: Sequence[Parameter], shares: list[Share] | NothingToSeeError | None
) -> list[Parameter]:
    """At most ``MOST_PARAMETERS`` parameters in written order."""
    ranked = [share.parameter for share in shares] if isinstance(shares, list) else []
    kept = [*ranked, *(p for p in parameters if p not in ranked)][:MOST_PARAMETERS]
    return [p for p in parameters if p in kept]
