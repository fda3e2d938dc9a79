"""The jobs of a sweep's trials: its base with the values of an assignment worked in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from trainwright.errors import JobError
from trainwright.job import Job
from trainwright.job.document import Document
from trainwright.job.inner import Inner
from trainwright.job.kinds import DEFAULT
from trainwright.job.load import checked
from trainwright.job.merging import BASE, inside, nearest_location
from trainwright.job.overrides import changed
from trainwright.job.yaml_reader import Parsed
from trainwright.job.yaml_writer import yaml_text
from trainwright.search.spec import PbtSpec, SweepJob

SweepJobFile = Job[SweepJob]

PLACE = "space"
"""Where in a sweep's job the changes of its trials stand."""

TRANSFER = "transfer"
"""Where those stand that make of the best trial the job to run in the end."""


RHYTHM = ("evaluate_every", "checkpoint_every")
"""Options of training by which the members of a population can be compared and copied."""


@dataclass(frozen=True)
class TrialJob:
    """The job of one trial.

    Attributes:
        job: the job.
        inner: gives what is wrong with it its place in the sweep's file.
    """

    job: Job[Any]
    inner: Inner


MEMBERS_KEEP = 10**6
"""Checkpoints that the run of a population's member keeps: the sweep removes them itself."""


def paced(training: Mapping[str, Any], scheduler: PbtSpec) -> dict[str, Any]:
    """How the members of a population train, who can be compared and copied.

    Args:
        training: how the base trains; evaluations and checkpoints stay as often as written there.
        scheduler: of the sweep.
    """
    rhythm = {name: training.get(name, str(scheduler.every)) for name in RHYTHM}
    return {**training, **rhythm, "keep": {"last": MEMBERS_KEEP, "best": 0}}


class TrialJobs:
    """Makes the jobs of trials; travels to other processes.

    Args:
        sweep: the sweep.
    """

    def __init__(self, sweep: SweepJobFile) -> None:
        self.sweep = sweep
        whole = Parsed(sweep.document.values, sweep.document.locations)
        self.base = inside(whole, BASE)

    def make(
        self,
        changes: Mapping[str, Any],
        places: Mapping[str, str] | None = None,
        label: str | None = None,
    ) -> TrialJob:
        """The job with the values of one trial.

        Args:
            changes: dotted path in the base -> value.
            places: dotted path of a value inside them -> where in the space it is written, where
                mistakes are to be told as exactly as that.
            label: the job's name, first part of its run's; default: one for all trials.

        Raises:
            JobError: it is none; paths and places are those of the sweep's file.
        """
        inner = self._trial(changes, places or {})
        written, sweep = inner.parsed.values, self.sweep.spec
        further = {"cluster": sweep.cluster.cluster_of(written.get("cluster"))}
        if label is not None:
            further["name"] = label
        training = written.get("training") or {}
        if isinstance(sweep.scheduler, PbtSpec) and isinstance(training, dict):
            further["training"] = paced(training, sweep.scheduler)
        return self._made(inner, further)

    def make_transferred(
        self, changes: Mapping[str, Any], places: Mapping[str, str] | None = None
    ) -> TrialJob:
        """As ``make``, with what ``transfer`` changes on top, and on a cluster of its own.

        Raises:
            JobError: it is none; paths and places are those of the sweep's file.
        """
        inner = self._transferred(changes, places or {})
        return self._made(inner, {"cluster": inner.parsed.values.get("cluster", {})})

    def values(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """What the job of one trial has written, without what the sweep decides."""
        return self._trial(changes, {}).parsed.values

    def transferred_values(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """As ``values``, with what ``transfer`` changes on top."""
        return self._transferred(changes, {}).parsed.values

    def _trial(self, changes: Mapping[str, Any], places: Mapping[str, str]) -> Inner:
        inner = self._changed(self.base, changes, PLACE)
        exact = {
            path: nearest_location(self.sweep.document.locations, f"{PLACE}.{place}")
            for path, place in places.items()
        }
        parsed = Parsed(inner.parsed.values, {**inner.parsed.locations, **exact})
        return replace(inner, parsed=parsed)

    def _transferred(self, changes: Mapping[str, Any], places: Mapping[str, str]) -> Inner:
        trial = self._trial(changes, places).parsed
        return self._changed(trial, self.sweep.spec.transfers, TRANSFER)

    def _changed(self, parsed: Parsed, changes: Mapping[str, Any], section: str) -> Inner:
        own = set[str]()
        for path, value in changes.items():
            place = f"{section}.{path}"
            location = nearest_location(self.sweep.document.locations, place)
            try:
                after = changed(parsed, path, value, location)
            except JobError as error:
                told = [replace(p, path=f"{section}.{p.path}") for p in error.problems]
                raise JobError(told) from None
            own |= {path, *(after.locations.keys() - parsed.locations.keys())}
            parsed = after
        return Inner(parsed, frozenset(own), section)

    def _made(self, inner: Inner, further: Mapping[str, Any]) -> TrialJob:
        with inner.told():
            document = self._document(inner.parsed, further)
            return TrialJob(checked(document, self.sweep.base), inner)

    def _document(self, parsed: Parsed, further: Mapping[str, Any]) -> Document:
        values = {**parsed.values, **self._fixed(), **further}
        text = yaml_text(values)
        return Document(values, parsed.locations, self.sweep.document.file, text)

    def _fixed(self) -> dict[str, Any]:
        """What the sweep decides for all its trials."""
        spec = self.sweep.spec
        tracking = spec.tracking.model_dump(mode="json", exclude_unset=True)
        tracking["experiment"] = spec.tracking.experiment or spec.name
        return {
            "kind": spec.base.get("kind", DEFAULT),
            "name": f"{spec.name}-trial",
            "storage": spec.storage,
            # Sampling the machine from many runs at once would only disturb their timing.
            "tracking": {**tracking, "system_metrics": False},
        }
