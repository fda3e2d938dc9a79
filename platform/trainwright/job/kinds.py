"""The kinds of job: for each its form, its rules, and what checks, runs and shows it.

Everything is named by import path and imported when it is used, so that reading a job file loads
no more than the form of its kind. A further kind is one entry in ``KINDS``.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trainwright.errors import InputError, Problem
from trainwright.suggest import nearest, one_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from trainwright.cli.screens import Screen
    from trainwright.job.load import Job
    from trainwright.job.plugin_spec import JobSection
    from trainwright.orchestration.request import Request
    from trainwright.orchestration.result import RunResult
    from trainwright.orchestration.validation import Validation
    from trainwright.storage import Folder

DEFAULT = "train"
"""The kind of a job that names none."""


@dataclass(frozen=True)
class Kind:
    """A kind of job; ``form`` to ``plots`` are import paths, ``module:name``.

    Attributes:
        name: the value of ``kind`` in a job file.
        purpose: one line for people.
        form: the job file's pydantic model, a :class:`JobSection`.
        rules: ``(job) -> list[Problem]``, what the form cannot say; runs when a job is read.
        remaining: ``(values, base, problems) -> list[Problem]``, what else can be told of a job
            in which problems were found already; None where nothing can.
        validation: ``(job) -> Validation``, checks the job whole and starts nothing.
        runner: ``(job, request) -> RunResult``, runs or continues it.
        screen: what the command line shows (:class:`trainwright.cli.screens.Screen`).
        plots: ``(folder) -> names``, draws what a run has recorded into its folder.
        options: which of ``--fresh``, ``--resume``, ``--placebo`` it knows.
    """

    name: str
    purpose: str
    form: str
    rules: str
    validation: str
    runner: str
    remaining: str | None = None
    screen: str = "trainwright.cli.screens:RunScreen"
    plots: str = "trainwright.tracking.plots:plot_training"
    options: tuple[str, ...] = ("fresh",)

    @property
    def model(self) -> type[JobSection]:
        """The form of the job file."""
        model: type[JobSection] = _imported(self.form)
        return model

    def check(self, job: Job[Any]) -> list[Problem]:
        """What the rules find wrong with a job whose form is right."""
        rules: Callable[[Job[Any]], list[Problem]] = _imported(self.rules)
        return rules(job)

    def remaining_problems(
        self, values: Mapping[str, Any], base: Path, found: Iterable[Problem]
    ) -> list[Problem]:
        """What else is wrong with a job in which ``found`` was found already."""
        if self.remaining is None:
            return []
        # Torch may be imported only here, where a user will mend the file and would rather once.
        remaining: Callable[[Mapping[str, Any], Path, Iterable[Problem]], list[Problem]]
        remaining = _imported(self.remaining)
        return remaining(values, base, found)

    def validate(self, job: Job[Any]) -> Validation:
        """Check a job whole; nothing is started or written.

        Raises:
            InputError: it would not run.
        """
        validation: Callable[[Job[Any]], Validation] = _imported(self.validation)
        return validation(job)

    def run(self, job: Job[Any], request: Request) -> RunResult:
        """Run a job, or continue it where it was left.

        Raises:
            InputError: the job cannot run, or the request asks for what its kind does not know.
            RunError: it failed.
            Interrupted: it was stopped; the same call continues it.
        """
        self._refuse_unknown(request.options)
        runner: Callable[[Job[Any], Request], RunResult] = _imported(self.runner)
        return runner(job, request)

    def make_screen(self, job: Job[Any]) -> Screen:
        """What the command line shows of a run of ``job``."""
        screen: Callable[[Job[Any]], Screen] = _imported(self.screen)
        return screen(job)

    def plot(self, folder: Folder) -> list[str]:
        """Draw what a run has recorded; the names of the pictures, relative to its folder."""
        plots: Callable[[Folder], list[str]] = _imported(self.plots)
        return plots(folder)

    def _refuse_unknown(self, options: Iterable[str]) -> None:
        problems = [
            Problem(
                f"--{option}",
                f"means nothing for a job of kind {self.name}",
                allowed=f"kind: {one_of(knowing)}",
            )
            for option in options
            if option not in self.options
            if (knowing := [kind.name for kind in KINDS.values() if option in kind.options])
        ]
        if problems:
            raise InputError(problems)


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            name="train",
            purpose="one model, trained by updates",
            form="trainwright.job.models:TrainJob",
            rules="trainwright.job.rules:broken_rules_of",
            remaining="trainwright.job.remaining:remaining_problems",
            validation="trainwright.orchestration.validation:validate_training",
            runner="trainwright.orchestration.launch:run_training",
            options=("fresh", "resume"),
        ),
        Kind(
            name="compare",
            purpose="variants of one job over several seeds, and what is expected of them",
            form="trainwright.compare.spec:CompareJob",
            rules="trainwright.compare.rules:broken_rules",
            validation="trainwright.compare.running:validate_comparison",
            runner="trainwright.compare.running:run_comparison",
            screen="trainwright.cli.comparing:CompareScreen",
            options=("fresh", "placebo"),
        ),
        Kind(
            name="procedure",
            purpose="a method that does not train one model by steps: an attack, a search",
            form="trainwright.procedure.spec:ProcedureJob",
            rules="trainwright.procedure.rules:broken_rules",
            remaining="trainwright.procedure.rules:remaining_problems",
            validation="trainwright.procedure.running:validate_procedure",
            runner="trainwright.procedure.running:run_procedure",
            screen="trainwright.cli.procedures:ProcedureScreen",
        ),
        Kind(
            name="federated",
            purpose="one model, trained by many clients on samples of their own",
            form="trainwright.federated.spec:FederatedJob",
            rules="trainwright.federated.rules:broken_rules",
            remaining="trainwright.federated.rules:remaining_problems",
            validation="trainwright.federated.running:validate_federation",
            runner="trainwright.federated.running:run_federation",
            screen="trainwright.cli.federations:FederationScreen",
            plots="trainwright.federated.plots:plot_federation",
        ),
        Kind(
            name="sweep",
            purpose="trials of one job over a space of its values",
            form="trainwright.search.spec:SweepJob",
            rules="trainwright.search.rules:broken_rules",
            validation="trainwright.search.running:validate_sweep",
            runner="trainwright.search.running:run_sweep",
            screen="trainwright.cli.sweeps:SweepScreen",
            plots="trainwright.search.plots.kept:plot_kept",
        ),
    )
}
"""Every kind by its name, in the order in which messages list them."""


def kind_of(job: Job[Any]) -> Kind:
    """The kind of a job that was read."""
    return KINDS[job.spec.kind]


def named_kind(values: Mapping[str, Any]) -> tuple[Kind, list[Problem]]:
    """The kind that a job's values name.

    Returns:
        The kind, and nothing wrong; or the kind that was probably meant, and what is wrong.
    """
    name = values.get("kind", DEFAULT)
    if isinstance(name, str) and name in KINDS:
        return KINDS[name], []
    closest = nearest(name, KINDS)
    alike = max(
        KINDS.values(), key=lambda kind: len(values.keys() & kind.model.model_fields.keys())
    )
    message = "there is no such kind of job" if isinstance(name, str) else "must be a text"
    problem = Problem("kind", message, name, allowed=one_of(KINDS), nearest=closest)
    return KINDS[closest] if closest else alike, [problem]


def kinds_with(key: str) -> list[str]:
    """The kinds of job that have ``key`` at their top."""
    return [kind.name for kind in KINDS.values() if key in kind.model.model_fields]


def _imported(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)
