"""How a federation looks on the command line: its rounds while it goes on, then what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text
from typing_extensions import override

from trainwright.cli import outcome
from trainwright.cli.progress import TrainingProgress
from trainwright.cli.screens import tell_places
from trainwright.cli.views import View, make_view
from trainwright.cli.words import importance, metrics, number

if TYPE_CHECKING:
    from trainwright.cli.reporting import Report
    from trainwright.job import Job
    from trainwright.orchestration.result import RunResult

_AT_CLIENTS = ("client/", "personalised/")
_PARTS = ("mean", "std", "p10", "worst")
_TERMS = ("local_loss", "distribution_shift", "aggregation")


class FederationScreen:
    """A federation: its rounds, then its metrics and where everything lies."""

    def __init__(self, job: Job[Any]) -> None:
        self._job = job

    def view(self, console: Console, label: str, quiet: bool) -> View:
        """Live on a terminal, a few lines in a log."""
        return make_view(console, label, quiet, FederationProgress)

    def tell(self, report: Report, result: RunResult) -> None:
        """The summary; one line on standard error when standard output is for JSON."""
        title = outcome.finished_title(result, report.anew)
        (report.err if report.as_json else report.out).print(title, soft_wrap=True)
        if result.metrics and not result.already_finished:
            report.out.print(summary(result.metrics))
        tell_places(report, result)


@dataclass
class FederationProgress(TrainingProgress):
    """The newest values of a federation; a step is a round.

    Attributes:
        counted: what was counted so far, ``federation/...``.
    """

    unit: ClassVar[str] = "round"
    counted: dict[str, float] = field(default_factory=dict)

    @override
    def update(self, progress: Mapping[str, Any]) -> bool:
        evaluated = super().update(progress)
        self.speed = progress.get("clients_per_second", self.speed)
        self.counted.update(progress.get("federation", {}))
        return evaluated

    @override
    def values(self) -> list[str]:
        """Loss, speed and the newest evaluation of the model, in words."""
        shown = []
        if self.loss is not None:
            shown.append(f"loss {number(self.loss)}")
        if self.speed is not None:
            shown.append(f"{self.speed:,.0f} clients/s")
        told = {n: v for n, v in self.metrics.items() if n.startswith(("test/", "validation/"))}
        if told:
            shown.append(metrics(told))
        return shown

    @override
    def counts(self) -> list[str]:
        """What was sent, who was missing, and what privacy was spent, in words."""
        return list(_counted(self.counted))


def _counted(values: Mapping[str, float]) -> Iterator[str]:
    """What was counted, in words; what did not happen is not told."""
    if "federation/megabytes_up" in values:
        yield f"{number(_megabytes(values))} MB sent"
    for name, what in (
        ("missing_clients", "answers missing"),
        ("dropped_updates", "updates dropped"),
        ("empty_rounds", "empty rounds"),
    ):
        if count := values.get(f"federation/{name}"):
            yield f"{count:,.0f} {what}"
    if "federation/epsilon" in values:
        yield f"epsilon {number(values['federation/epsilon'])}"


def _megabytes(values: Mapping[str, float]) -> float:
    return values["federation/megabytes_up"] + values["federation/megabytes_down"]


def summary(values: Mapping[str, float]) -> RenderableType:
    """What a federation came to: the model, the model at clients, and what it took.

    Args:
        values: metrics of a finished run.
    """
    apart = (*_AT_CLIENTS, "decomposition/", "federation/")
    model = {name: value for name, value in values.items() if not name.startswith(apart)}
    parts: list[RenderableType] = [outcome.metrics_table(model)] if model else []
    if any(name.startswith(_AT_CLIENTS) for name in values):
        parts += [Text(), _at_clients(values)]
    terms = [f"{name.replace('_', ' ')} {number(v)}" for name, v in _decomposed(values)]
    if terms:
        parts += [Text(), Text(f"  loss = {' + '.join(terms)}")]
    said = ", ".join(_counted(values))
    return Group(*parts, *([Text(), Text(f"  {said}")] if said else []))


def _decomposed(values: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    for term in _TERMS:
        if f"decomposition/{term}" in values:
            yield term, values[f"decomposition/{term}"]


def _at_clients(values: Mapping[str, float]) -> RenderableType:
    """A line for each metric: its mean, spread and bad end over the clients."""
    names = {name.rpartition("/")[0] for name in values if name.startswith(_AT_CLIENTS)}
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("")
    for part in _PARTS:
        table.add_column(part, justify="right")
    for name in sorted(names, key=lambda name: (name.partition("/")[0], importance(name))):
        found = (values.get(f"{name}/{part}") for part in _PARTS)
        cells = ("" if value is None else number(value) for value in found)
        table.add_row(f"  {name}", *cells)
    return table
