"""What runs have left in their folders, and whether two of them are alike."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from trainwright.runs import RunRecord
from trainwright.storage import Folder
from trainwright.tracking.lineage import read_lineage


@dataclass
class Story:
    """What the surviving lineage of a run says; system metrics and times left out.

    Attributes:
        metrics: (name, step) -> value.
        samples: step -> sample ids of the update.
        attempts: numbers of the attempts that count.
        events: remarks.
    """

    metrics: dict[tuple[str, int], float] = field(default_factory=dict)
    samples: dict[int, list[int]] = field(default_factory=dict)
    attempts: list[int] = field(default_factory=list)
    events: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, run: Folder | Path) -> Story:
        """Read a run's journal; a number told twice fails."""
        story = cls()
        for row in read_lineage(run if isinstance(run, Folder) else Folder(str(run))):
            if row["kind"] == "attempt":
                story.attempts.append(row["attempt"])
            elif row["kind"] == "event":
                story.events.append(row["message"])
            elif row["kind"] == "samples":
                assert row["step"] not in story.samples, f"samples of {row['step']} told twice"
                story.samples[row["step"]] = row["ids"]
            elif row["kind"] == "metrics":
                for name, value in row["values"].items():
                    if not name.startswith("system/"):
                        assert (name, row["step"]) not in story.metrics, f"{name} told twice"
                        story.metrics[name, row["step"]] = value
        return story

    def curve(self, name: str) -> list[float]:
        """The values of one metric in the order of steps."""
        return [value for (key, _), value in sorted(self.metrics.items()) if key == name]


def runs_in(storage: Path) -> list[Path]:
    """The run folders of a local storage."""
    return sorted(path.parent for path in storage.glob("*/run.json"))


def the_run(storage: Path) -> Path:
    """The only run folder of a local storage."""
    (run,) = runs_in(storage)
    return run


def record_of(run: Path) -> RunRecord:
    """What ``run.json`` says."""
    record = RunRecord.load(Folder(str(run)))
    assert record is not None
    return record


def weights_of(run: Path) -> dict[str, Tensor]:
    """The exported weights."""
    return load_file(run / "export" / "model.safetensors")


def assert_same_run(run: Path, undisturbed: Path) -> None:
    """Two runs tell the same story, to the last bit, and end with the same weights."""
    mine, theirs = Story.of(run), Story.of(undisturbed)
    assert mine.metrics == theirs.metrics
    assert mine.samples == theirs.samples
    own, other = weights_of(run), weights_of(undisturbed)
    assert own.keys() == other.keys()
    assert [name for name in own if not own[name].equal(other[name])] == []
    assert record_of(run).metrics == record_of(undisturbed).metrics
    assert record_of(run).status == record_of(undisturbed).status == "finished"
