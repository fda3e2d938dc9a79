"""What sets two runs apart: their jobs, the code beside them, and what came of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from trainwright.errors import MISSING
from trainwright.orchestration.kept_plugins import kept_plugin_files
from trainwright.runs import RESOLVED, RunRecord, find_run
from trainwright.storage import Folder

_NUMBERS = ("data", "model", "objective", "strategies", "optimizer", "schedule", "training", "seed")


@dataclass(frozen=True)
class Difference:
    """One thing that two runs do not have in common.

    Attributes:
        name: dotted path in the job, name of a metric, or path of a file.
        first: what the first run has; None where it has nothing.
        second: likewise.
    """

    name: str
    first: Any
    second: Any


@dataclass(frozen=True)
class RunDiff:
    """Two runs side by side.

    Attributes:
        first: name of one run.
        second: name of the other.
        job: values of the jobs that differ; those that decide the numbers come first.
        files: the user's plugin files that differ, with their numbers of lines.
        results: status, steps and the newest value of every metric, where they differ.
    """

    first: str
    second: str
    job: list[Difference]
    files: list[Difference]
    results: list[Difference]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def differ(storage: Folder, first: str, second: str) -> RunDiff:
    """Compare two runs.

    Args:
        storage: holds both.
        first: a run's name, or a beginning of it that no other run has.
        second: likewise.

    Raises:
        InputError: there is no such run.
    """
    (one, one_record), (other, other_record) = find_run(storage, first), find_run(storage, second)
    jobs = _flat(one.read_object(RESOLVED)), _flat(other.read_object(RESOLVED))
    differences = sorted(_differences(*jobs), key=lambda d: (_is_aside(d.name), d.name))
    codes = kept_plugin_files(one), kept_plugin_files(other)
    files = [
        Difference(name, _lines(codes[0].get(name)), _lines(codes[1].get(name)))
        for name in sorted(codes[0].keys() | codes[1].keys())
        if codes[0].get(name) != codes[1].get(name)
    ]
    results = list(_differences(_results(one_record), _results(other_record)))
    return RunDiff(one_record.name, other_record.name, differences, files, results)


def _results(record: RunRecord) -> dict[str, Any]:
    return {"status": record.true_status, "steps": record.steps, **record.metrics}


def _lines(content: bytes | None) -> str | None:
    return None if content is None else f"{len(content.splitlines())} lines"


def _is_aside(path: str) -> bool:
    """Whether a value of a job changes no number."""
    return path.partition(".")[0] not in _NUMBERS


def _differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[Difference]:
    for name in {**first, **second}:
        one, other = first.get(name, MISSING), second.get(name, MISSING)
        if one != other:
            yield Difference(name, *(None if v is MISSING else v for v in (one, other)))


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """Every single value by its dotted path; an empty section is a value too."""
    if isinstance(value, Mapping) and value:
        items = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, list) and value:
        items = [(str(index), item) for index, item in enumerate(value)]
    else:
        return {path: value}
    found: dict[str, Any] = {}
    for key, item in items:
        found |= _flat(item, f"{path}.{key}" if path else key)
    return found
