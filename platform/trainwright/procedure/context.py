"""What a procedure works with: its inputs, recorded steps, tasks, and the way to report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from trainwright.errors import Interrupted
from trainwright.orchestration.monitor import LocalMonitor
from trainwright.procedure.inputs import Inputs
from trainwright.procedure.results import Packed, numbers, pack
from trainwright.procedure.steps import Steps
from trainwright.procedure.tasks import Tasks, Work
from trainwright.procedure.trained import TrainedRun
from trainwright.procedure.variation import Variation, train
from trainwright.storage import Folder
from trainwright.strategy.attachments import png_of
from trainwright.tracking import JournalWriter

Item = TypeVar("Item")

ARTIFACTS = "artifacts"


class Stopped(BaseException):
    """Somebody asked to stop; no ``Exception``, so that no procedure takes it for its own."""


@dataclass(frozen=True)
class Workshop:
    """What stands behind a context.

    Attributes:
        folder: the run's folder.
        steps: recorded results.
        tasks: works on items.
        journal: takes what is logged.
        monitor: takes progress and the wish to stop.
    """

    folder: Folder
    steps: Steps
    tasks: Tasks
    journal: JournalWriter
    monitor: LocalMonitor


class ProcedureContext(Inputs):
    """The context of a procedure: its :class:`Inputs`, and what is recorded.

    It stays in the process of the procedure. Runs, ``data`` and plain values travel to tasks.
    """

    def __init__(self, inputs: Inputs, workshop: Workshop) -> None:
        data = inputs.data if inputs.has_data else None
        super().__init__(inputs.seed, inputs.runs, data, inputs.shared)
        self._workshop = workshop
        self._next_step: dict[str, int] = {}

    @property
    def folder(self) -> Folder:
        """A folder of the run for files: ``write_bytes``, ``write_json``, or ``local_path()``.

        A procedure that is continued finds there what it wrote before.
        """
        return self._workshop.folder / ARTIFACTS

    def step(self, name: str, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """The result of ``function(*args, **options)``, recorded under ``name``.

        A run that is continued gets the recorded result at once. Either way tuples come back as
        lists, and arrays as tensors on the CPU.

        Args:
            name: of the step, different from all others of the run.
            function: gives plain values, tensors, and lists and mappings of them.
            *args: of the function.
            **options: of the function.

        Raises:
            ValueError: there was a step of that name already.
            TypeError: the result is something else.
        """
        steps = self._workshop.steps
        steps.use(name)
        if name in steps:
            return steps.load(name)
        self._stop_if_asked()
        self._tell(1)
        result = steps.save(name, pack(function(*args, **options)))
        self._tell(0)
        return result

    def map(self, function: Callable[[Item], Any], items: Iterable[Item], name: str) -> list[Any]:
        """The results of ``function(item)`` for all items, in their order.

        With ``cluster.workers`` above 0 that many items are worked on side by side, on Ray; else
        one after another in this process, with the same results. Each is recorded as soon as it
        is done, as the step ``<name>/<index>``, and not done again when the run is continued.

        Args:
            function: of one item, independent of the others; results as for ``step``. To travel,
                it may hold runs, ``context.data``, ``context.folder`` and plain values, but not
                the context.
            items: the same ones in every attempt.
            name: of the call, different from all others of the run.

        Raises:
            ValueError: there was a call of that name already.
            RunError: an item failed, with the item and the cause.
        """
        steps, listed = self._workshop.steps, list(items)
        names = [f"{name}/{index}" for index in range(len(listed))]
        for one in names or [name]:
            steps.use(one)
        found = {index: steps.load(one) for index, one in enumerate(names) if one in steps}
        left = [(index, item) for index, item in enumerate(listed) if index not in found]

        def keep(index: int, packed: Packed) -> None:
            found[index] = steps.save(names[index], packed)
            self._tell(len(listed) - len(found))
            self.progress(len(found), len(listed), name)

        self._tell(len(left))
        self.progress(len(found), len(listed), name)
        monitor = self._workshop.monitor
        self._workshop.tasks.work(Work(name, function, left), keep, lambda: monitor.stop_requested)
        if len(found) < len(listed):
            raise Stopped
        return [found[index] for index in range(len(listed))]

    def train(self, variation: Variation) -> TrainedRun:
        """Train what :meth:`Inputs.variation` gave; a run of its own, found by its name.

        It is trained where its job says, in this process as a rule. One that is finished is not
        trained again, and one that was interrupted goes on, as any run does.

        Raises:
            InputError: it cannot run.
            RunError: it failed.
        """
        self._stop_if_asked()
        name = variation.job.spec.name

        def show(progress: Mapping[str, Any]) -> None:
            self.progress(progress.get("step", 0), progress.get("total_steps", 0), name)

        try:
            return train(variation, show)
        except Interrupted:
            raise Stopped from None

    def log(self, scalars: Mapping[str, Any], step: int | None = None) -> None:
        """Record named numbers in the run's journal and in MLflow.

        Args:
            scalars: name -> number, or tensor of one element.
            step: their place on the x axis; default: one after the last of these names, from 0.

        Raises:
            TypeError: a value is no number.
        """
        values = numbers(scalars)
        if step is None:
            step = max((self._next_step.get(name, 0) for name in values), default=0)
        self._next_step.update(dict.fromkeys(values, step + 1))
        self._workshop.journal.metrics(step, values)
        self._workshop.monitor.show({"metrics": values})

    def log_figure(self, name: str, figure: Any, step: int = 0) -> None:
        """Store a picture under ``figures/`` and in MLflow.

        Args:
            name: of the picture.
            figure: a matplotlib ``Figure`` or a PIL ``Image``; drawn at once.
            step: number of the picture, for several of one name.

        Raises:
            TypeError: it is neither.
        """
        self._workshop.journal.figure(step, name, png_of(figure))

    def progress(self, done: int, total: int, what: str) -> None:
        """Tell whoever watches how far it is; ``map`` does so by itself.

        Args:
            done: how many of ``total`` are done.
            total: how many there are.
            what: what is being counted, in a word or two.
        """
        self._workshop.monitor.show({"done": done, "total": total, "what": what})

    def _tell(self, left: int) -> None:
        count = len(self._workshop.steps)
        self._workshop.monitor.show({"step": count, "total_steps": count + left})

    def _stop_if_asked(self) -> None:
        if self._workshop.monitor.stop_requested:
            raise Stopped

    def __reduce__(self) -> NoReturn:
        raise TypeError("the context of a procedure stays in its process")
