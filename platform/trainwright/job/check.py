"""The plugins of a job: found, and their options checked, before anything starts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainwright.errors import InputError, PluginError, Problem
from trainwright.job.data_rules import monitor_exists
from trainwright.job.fields import keys_of
from trainwright.job.models import DataSource, DataSpec, PluginSpec, TrainJob
from trainwright.job.sources import is_file_source, name_of
from trainwright.suggest import nearest

if TYPE_CHECKING:
    from trainwright.job.load import Job
    from trainwright.plugins import Plugin
    from trainwright.plugins.groups import Factory


@dataclass(frozen=True)
class Use:
    """A plugin as a job names it.

    Attributes:
        group: the kind of plugin.
        spec: name and options.
        path: dotted path in the job.
    """

    group: str
    spec: PluginSpec
    path: str

    @property
    def nested(self) -> Mapping[str, Any]:
        """The options that were written under ``options``."""
        written = (self.spec.model_extra or {}).get("options")
        return written if isinstance(written, dict) else {}

    def option_path(self, name: str) -> str:
        """Dotted path of an option in the job."""
        return f"{self.path}.options.{name}" if name in self.nested else f"{self.path}.{name}"


def uses(spec: TrainJob) -> list[Use]:
    """The plugins that the sections of a training job name, in their order."""
    many = isinstance(spec.objective, list)
    found = data_uses(spec.data)
    found.append(Use("models", spec.model, "model"))
    if many:
        found += _numbered("objectives", spec.objectives, "objective")
    else:
        found.append(Use("objectives", spec.objectives[0], "objective"))
    found += _numbered("strategies", spec.strategies, "strategies")
    found.append(Use("optimizers", spec.optimizer, "optimizer"))
    found.append(Use("schedules", spec.schedule, "schedule"))
    found += _numbered("metrics", spec.metrics, "metrics")
    return found


def data_uses(data: DataSpec) -> list[Use]:
    """The plugins that the data section of a job names, in their order."""
    found = list(_datasets(data))
    found += _numbered("transforms", data.transforms, "data.transforms")
    for name, named in data.sources.items():
        found += _numbered("transforms", named.transforms, f"data.sources.{name}.transforms")
    return found


def with_inner(use: Use, base: Path) -> list[Use]:
    """A plugin, followed by those inside of it."""
    return [use, *(found for inner in _inside(use, base) for found in with_inner(inner, base))]


def _inside(use: Use, base: Path) -> Iterator[Use]:
    """The plugins that the options of another name."""
    from trainwright.plugins.resolve import nested_specs

    for option, group, spec in nested_specs(use.group, use.spec, base):
        name, _, index = option.partition(".")
        yield Use(group, spec, use.option_path(name) + (f".{index}" if index else ""))


def _numbered(group: str, specs: Any, path: str) -> list[Use]:
    return [Use(group, spec, f"{path}.{index}") for index, spec in enumerate(specs)]


def _datasets(data: DataSpec) -> Iterator[Use]:
    sources: list[tuple[str, DataSource, str]] = [("data.source", data.source, data.format)]
    for name, held in (("validation", data.validation), ("test", data.test)):
        if held is not None and held.source is not None:
            sources.append((f"data.{name}.source", held.source, data.format))
    for name, named in data.sources.items():
        sources.append((f"data.sources.{name}.source", named.source, named.format))
    for path, source, format in sources:
        if not is_file_source(name_of(source), format):
            spec = PluginSpec(name=source) if isinstance(source, str) else source
            yield Use("datasets", spec, path)


def check_plugins(job: Job) -> list[Problem]:
    """Find every plugin of a job and check its options.

    Returns:
        Every problem with file and line, in the order of the lines: those of the plugins, and a
        monitor that names no metric of the job.
    """
    problems = plugin_problems(job.spec, job.base)
    unsure = any(problem.path.startswith(("metrics", "strategies")) for problem in problems)
    if not unsure and not _strategies_measure(job):
        problems += monitor_exists(job.spec)
    return job.document.sorted(problems)


def _strategies_measure(job: Job) -> bool:
    """Whether a strategy gives metrics of its own, whose names only an evaluation tells."""
    from trainwright.plugins import find
    from trainwright.strategy import Strategy

    found = [find("strategies", spec.name, job.base).factory for spec in job.spec.strategies]
    classes = [factory for factory in found if isinstance(factory, type)]
    return any(issubclass(c, Strategy) and c.evaluate is not Strategy.evaluate for c in classes)


def plugin_problems(spec: TrainJob, base: Path) -> list[Problem]:
    """What is wrong with the plugins of a job and their options.

    Plugins that need nothing from the data are made once, so that what only their constructor
    refuses is found too.

    Args:
        spec: the job.
        base: folder of the job file, where plugin files are found.

    Returns:
        Unknown names, plugins that cannot be imported, unknown, missing and wrong options; in
        the order of the job's sections and without places.
    """
    return problems_of_uses(uses(spec), base)


def problems_of_uses(named: Iterable[Use], base: Path) -> list[Problem]:
    """As ``plugin_problems``, for the plugins that a job of any kind names."""
    return [problem for use in named for problem in _check_whole(use, base)]


def _check_whole(use: Use, base: Path) -> list[Problem]:
    """A plugin and those inside of it; it is made on trial only if these are in order."""
    inner = [problem for item in _inside(use, base) for problem in _check_whole(item, base)]
    return [*_check(use, base, trial=not inner), *inner]


def plugins_of(job: Job) -> list[Plugin]:
    """The plugins of a training job, found and imported.

    Raises:
        PluginError: one of them cannot be found; ``check_plugins`` tells all.
    """
    return found_plugins(uses(job.spec), job.base)


def found_plugins(named: Iterable[Use], base: Path) -> list[Plugin]:
    """The plugins that a job of any kind names, and those inside of them, imported.

    Raises:
        PluginError: one of them cannot be found.
    """
    from trainwright.plugins import find

    found = [inner for use in named for inner in with_inner(use, base)]
    return [find(use.group, use.spec.name, base, path=use.path) for use in found]


def _check(use: Use, base: Path, trial: bool) -> list[Problem]:
    from trainwright.plugins import check_options, find
    from trainwright.plugins.resolve import Site, resolved

    try:
        plugin = find(use.group, use.spec.name, base, path=f"{use.path}.name")
    except PluginError as error:
        return error.problems
    values, problems = check_options(plugin, use.spec.options, use.path)
    missing = [problem for problem in problems if _option(problem, use) not in use.spec.options]
    wrong = [_improved(problem, use, plugin) for problem in problems if problem not in missing]
    if missing or wrong:
        return [*_twice(use), *wrong, *_really_missing(missing, wrong, use)]
    if twice := _twice(use):
        return twice
    return _refused(use, plugin, resolved(plugin, values, Site(base, use.path))) if trial else []


def _twice(use: Use) -> list[Problem]:
    return [
        Problem(use.option_path(name), "is given twice, here and outside of 'options'", value)
        for name, value in use.nested.items()
        if name in (use.spec.model_extra or {})
    ]


def _really_missing(missing: list[Problem], wrong: list[Problem], use: Use) -> list[Problem]:
    """Without options that the data gives, and without those that stand there misspelt."""
    from trainwright.plugins.groups import derived_options

    given = {*derived_options(use.group), *(problem.nearest for problem in wrong)}
    return [problem for problem in missing if _option(problem, use) not in given]


def _option(problem: Problem, use: Use) -> str:
    """The option that a problem is about."""
    return problem.path.removeprefix(f"{use.path}.").removeprefix("options.").partition(".")[0]


def _improved(problem: Problem, use: Use, plugin: Plugin) -> Problem:
    """The problem at the place as written; a misspelt key may also be one of the job's own."""
    from trainwright.plugins.signature import Signature

    name = _option(problem, use)
    inner = problem.path.removeprefix(f"{use.path}.{name}")
    problem = replace(problem, path=use.option_path(name) + inner)
    options = Signature.of(plugin).parameters
    if inner or name in options:
        return problem
    own = () if name in use.nested else keys_of(type(use.spec))
    closest = nearest(name, [*options, *own])
    return replace(problem, got=use.spec.options[name], nearest=closest)


def _refused(use: Use, plugin: Plugin, values: Mapping[str, Any]) -> list[Problem]:
    """What the plugin's constructor says to its options."""
    from trainwright.plugins.causes import import_cause

    make = _maker(use.group, plugin)
    if make is None:
        return []
    try:
        make(**values)
    except (ValueError, TypeError) as error:
        blamed = culprit(make, values)
        path = use.path if blamed is None else use.option_path(blamed)
        got = use.spec.options if blamed is None else use.spec.options[blamed]
        message = f"{plugin.name} refuses it: {error}"
        mend = f"see `trainwright show {plugin.name}`"
        return [Problem(path, message, got, mend=mend)]
    except InputError as error:
        return error.problems
    except Exception as error:  # the constructor is the user's code and may raise anything
        return [Problem(use.path, f"{plugin.name} fails with its options: {import_cause(error)}")]
    return []


def _maker(group: str, plugin: Plugin) -> Callable[..., Any] | None:
    """How to make the plugin's object on trial; None where it takes the data to do so."""
    if group not in ("models", "datasets", "metrics", "optimizers"):
        return plugin.factory
    return partial(_optimizer, plugin.factory) if group == "optimizers" else None


def _optimizer(factory: Factory, **options: Any) -> Any:
    import torch

    from trainwright.optimizers import without_compiler

    with without_compiler():
        return factory([torch.nn.Parameter(torch.zeros(2, 2))], **options)


def culprit(make: Callable[..., Any], values: Mapping[str, Any]) -> str | None:
    """The one option for which a constructor refuses ``values``.

    Args:
        make: the constructor.
        values: options that it has refused.

    Returns:
        The only option, or the only one without which it is content; None when it cannot be told.
    """
    if len(values) == 1:
        return next(iter(values))
    blamed = [
        name
        for name in values
        if _is_content(make, {key: value for key, value in values.items() if key != name})
    ]
    return blamed[0] if len(blamed) == 1 else None


def _is_content(make: Callable[..., Any], values: Mapping[str, Any]) -> bool:
    try:
        make(**values)
    except Exception:  # refused still: the option that was left out is not the only one at fault
        return False
    return True
