"""The variants of a comparison as jobs, and mistakes in them told where they stand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

from trainwright.compare.spec import CompareJob
from trainwright.errors import JobError, Location, Problem
from trainwright.job import Job
from trainwright.job.document import Document
from trainwright.job.inner import Inner
from trainwright.job.kinds import DEFAULT
from trainwright.job.load import checked
from trainwright.job.merging import BASE, inside, merged
from trainwright.job.overrides import changed
from trainwright.job.yaml_reader import Parsed
from trainwright.job.yaml_writer import yaml_text

CompareJobFile = Job[CompareJob]


@dataclass(frozen=True)
class Variant:
    """One variant of a comparison, before a seed is chosen.

    Attributes:
        name: its name.
        inner: the base with the variant's changes made.
        comparison: the comparison it belongs to.
    """

    name: str
    inner: Inner
    comparison: CompareJobFile

    def job(self, seed: int) -> Job:
        """The job of one seed.

        Raises:
            JobError: it is none; paths and places are those of the comparison's file.
        """
        with self.told():
            return checked(self._document(seed), self.comparison.base)

    def told(self) -> AbstractContextManager[None]:
        """Give every problem raised inside its path in the comparison's file."""
        return self.inner.told()

    def _document(self, seed: int) -> Document:
        parsed = self.inner.parsed
        values = {**parsed.values, **self._fixed(seed)}
        values["cluster"] = self.comparison.spec.cluster.cluster_of(values.get("cluster"))
        if self.comparison.spec.split_by_seed:
            values = _with_data(_split_by, seed, values)
        if self.comparison.spec.draw_by_seed:
            values = _with_data(_drawn_by, seed, values)
        text = yaml_text(values)
        file = self.comparison.document.file
        return Document(values, parsed.locations, file, text)

    def _fixed(self, seed: int) -> dict[str, Any]:
        """What the comparison decides for all its runs."""
        spec = self.comparison.spec
        tracking = spec.tracking.model_dump(mode="json", exclude_unset=True)
        tracking["experiment"] = spec.tracking.experiment or spec.name
        return {
            "kind": spec.base.get("kind", DEFAULT),
            "name": run_label(spec.name, self.name, seed),
            "seed": seed,
            "storage": spec.storage,
            # Sampling the machine from many runs at once would only disturb their timing.
            "tracking": {**tracking, "system_metrics": False},
        }


def run_label(comparison: str, variant: str, seed: int) -> str:
    """The label of one run, first part of its name."""
    return f"{comparison}-{variant}-{seed}"


def variants_of(job: CompareJobFile) -> dict[str, Variant]:
    """All variants of a comparison.

    Raises:
        JobError: the changes of a variant lead nowhere, with every problem that was found.
    """
    whole = Parsed(job.document.values, job.document.locations)
    base = inside(whole, BASE)
    found: dict[str, Variant] = {}
    problems: list[Problem] = []
    for name in job.spec.variants:
        try:
            found[name] = _variant(name, base, whole, job)
        except JobError as error:
            problems += error.problems
    if problems:
        raise JobError(problems)
    return found


def _variant(name: str, base: Parsed, whole: Parsed, job: CompareJobFile) -> Variant:
    place = f"variants.{name}"
    if whole.values["variants"][name] is None:
        return Variant(name, Inner(base, frozenset(), place), job)
    own = inside(whole, place)
    plain = {key: value for key, value in own.values.items() if "." not in key}
    parsed = merged(base, Parsed(plain, own.locations))
    for path, value in own.values.items():
        if "." in path:
            parsed = _changed(
                parsed, path, value, own.locations.get(path, own.locations[""]), place
            )
    return Variant(name, Inner(parsed, frozenset(_written(own, base)), place), job)


def _written(own: Parsed, base: Parsed) -> Iterator[str]:
    """The paths that a variant wrote, and the sections that only its dotted paths made."""
    for path in own.locations:
        if path:
            yield path
            sections = path.split(".")[:-1]
            made = (".".join(sections[:stop]) for stop in range(1, len(sections) + 1))
            yield from (section for section in made if section not in base.locations)


def _changed(parsed: Parsed, path: str, value: Any, location: Location, place: str) -> Parsed:
    try:
        return changed(parsed, path, value, location)
    except JobError as error:
        told = [replace(problem, path=f"{place}.{problem.path}") for problem in error.problems]
        raise JobError(told) from None


def _with_data(
    change: Callable[[int, Any], Any], seed: int, values: Mapping[str, Any]
) -> dict[str, Any]:
    """The job with its data section changed by the seed, and those of trainings inside it."""
    changed = {**values, "data": change(seed, values["data"])} if "data" in values else {**values}
    if isinstance(runs := values.get("runs"), Mapping):
        changed["runs"] = {
            name: _with_data(change, seed, run) if isinstance(run, Mapping) else run
            for name, run in runs.items()
        }
    return changed


def _split_by(seed: int, data: Any) -> Any:
    """The data section with samples held out by the seed, where a share of them is."""
    if not isinstance(data, Mapping):
        return data
    changes: dict[str, Any] = {}
    for name in ("validation", "test"):
        held = data.get(name)
        if isinstance(held, float):
            changes[name] = {"fraction": held, "seed": seed}
        elif isinstance(held, Mapping) and "fraction" in held:
            changes[name] = {**held, "seed": seed}
    return {**data, **changes}


def _drawn_by(seed: int, data: Any) -> Any:
    """The data section with the seed as an option of its sources."""
    if not isinstance(data, Mapping):
        return data
    changes = {"source": _seeded(seed, data["source"])} if "source" in data else {}
    for name in ("validation", "test"):
        held = data.get(name)
        if isinstance(held, Mapping) and held.get("source"):
            changes[name] = {**held, "source": _seeded(seed, held["source"])}
    return {**data, **changes}


def _seeded(seed: int, source: Any) -> Any:
    if isinstance(source, str):
        return {"name": source, "seed": seed}
    if not isinstance(source, Mapping):
        return source
    if "options" in source:
        return {**source, "options": {**source["options"], "seed": seed}}
    return {**source, "seed": seed}
