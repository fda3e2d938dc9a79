"""The log of a job whose pods are gone: the copies that lie beside its checkpoints."""

from __future__ import annotations

from collections.abc import Iterator

from trainwright.storage import Folder, cause_of
from trainwright.submission.inside.kept_logs import PLACE
from trainwright.submission.kubernetes import marks
from trainwright.submission.kubernetes.resources import Json, annotations_of, name_of


def place_of(job: Json) -> str | None:
    """URL of the folder with the kept logs of a job; None where the job has not said it."""
    storage = annotations_of(job).get(marks.STORAGE)
    return f"{storage.rstrip('/')}/{PLACE}" if storage else None


def kept_lines(job: Json) -> Iterator[str]:
    """The kept logs of a submission, one attempt after the other, as far as this machine sees them.

    A line before them says what they are, or why there are none.
    """
    name, place = name_of(job), place_of(job)
    if place is None:
        yield f"{name} has no pods any more, and it has not said where its run is kept"
        return
    folder = Folder(place)
    try:
        files = sorted(
            file for file in folder.names() if file.removesuffix(".log").endswith(f"-{name}")
        )
        contents = [folder.read_bytes(file).decode(errors="replace") for file in files]
    except Exception as error:  # whatever a store's client raises
        yield f"the pods of {name} are gone; its log is in {place}, not read: {cause_of(error)}"
        return
    if not files:
        yield f"the pods of {name} are gone; if its log was kept, it is in {place} in the cluster"
        return
    yield f"the pods of {name} are gone; this was kept in {place}"
    for number, content in enumerate(contents, 1):
        if number > 1:
            yield f"attempt {number} begins"
        yield from content.splitlines()
