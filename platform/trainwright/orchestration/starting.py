"""The starting weights that a job names: a safetensors file, or an earlier run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from trainwright.checkpoint import export_state
from trainwright.errors import InputError, JobError, Problem
from trainwright.job import Job
from trainwright.job.plugin_spec import WeightsSpec
from trainwright.orchestration.exporting import (
    exported_model,
    fingerprint_of,
    named_checkpoint,
)
from trainwright.orchestration.rebuilding import rebuild
from trainwright.overview import open_storage
from trainwright.storage import Folder
from trainwright.training.starting import PATH, Place

ENDING = ".safetensors"


@dataclass(frozen=True)
class Start:
    """Starting weights that were found.

    Attributes:
        place: where workers read them.
        fingerprint: identifies their content.
        label: what they are, for people.
        write: writes them to a folder, where they have to be made first; returns its place.
    """

    place: Place
    fingerprint: str
    label: str
    write: Callable[[Folder], Place] | None = None

    def kept_in(self, run: Folder) -> Place:
        """Where the workers of a run read the weights, written into its folder if need be."""
        return self.place if self.write is None else self.write(run / "start")


@contextmanager
def readable(start: Start | None) -> Iterator[Place | None]:
    """A place where the weights can be read for the time being, made if it has to be."""
    if start is None or start.write is None:
        yield None if start is None else start.place
        return
    with TemporaryDirectory(prefix="trainwright-weights-") as folder:
        yield start.write(Folder(folder))


def starting_weights(job: Job) -> Start | None:
    """The starting weights of a job; None when it names none.

    Raises:
        InputError: there is no such file, run or checkpoint.
    """
    spec = job.spec.model.weights
    if spec is None:
        return None
    if is_file(spec.source, job.base):
        return _from_files(spec, job.base)
    return _from_run(spec, open_storage(job.spec.storage, "storage"))


def is_file(source: str, base: Path) -> bool:
    """Whether starting weights are read from files, and not from an earlier run."""
    return "/" in source or source.endswith(ENDING) or (base / source).exists()


def _from_files(spec: WeightsSpec, base: Path) -> Start:
    text = spec.source if "://" in spec.source else str(base / Path(spec.source).expanduser())
    if not text.endswith(ENDING):
        folder = open_storage(text, PATH)
        names = tuple(name for name in folder.names() if name.endswith(ENDING))
        if not names:
            raise JobError(
                Problem(
                    PATH,
                    "there are no safetensors files here; other formats are not read, for a "
                    "pickle runs code when it is opened",
                    spec.source,
                )
            )
    else:
        parent, _, name = text.rpartition("/")
        folder, names = open_storage(parent, PATH), (name,)
        if not folder.exists(name):
            raise JobError(Problem(PATH, "there is no such file", spec.source))
    digest = hashlib.sha256()
    for name in names:
        digest.update(_digest(folder, name))
    place = Place(folder.url, names, skip=tuple(spec.skip))
    return Start(place, digest.hexdigest()[:32], spec.source)


def _digest(folder: Folder, name: str) -> bytes:
    digest = hashlib.sha256()
    with folder.fs.open(f"{folder.path}/{name}", "rb") as file:
        while chunk := file.read(1 << 22):
            digest.update(chunk)
    return digest.digest()


def _from_run(spec: WeightsSpec, storage: Folder) -> Start:
    try:
        folder, record, checkpoint = named_checkpoint(storage, spec.source)
    except InputError as error:
        problems = [replace(p, path=PATH, got=spec.source) for p in error.problems]
        raise JobError(problems) from error
    place = Place(folder.url, checkpoint=checkpoint.name, skip=tuple(spec.skip))
    fingerprint = fingerprint_of(folder, checkpoint)
    label = f"{record.name}@{checkpoint.step}"
    if not checkpoint.state.get("exports"):
        return Start(place, fingerprint, label)

    def write(target: Folder) -> Place:
        files = export_state(exported_model(rebuild(folder, checkpoint)).state_dict(), target)
        return Place(
            target.url, tuple(f for f in files if f.endswith(ENDING)), skip=tuple(spec.skip)
        )

    return Start(place, fingerprint, label, write)
