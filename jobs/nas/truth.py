"""Writes the true rankings of a space of architectures, a table beside each sweep that trains them.

python jobs/nas/truth.py [STORAGE]      runs the sweeps, or goes on with them, and writes the tables
"""

from __future__ import annotations

import csv
import io
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
JOBS = (HERE / "truth.yaml", HERE / "truth_digits.yaml")

Accuracies = dict[tuple[int, ...], dict[int, float]]
"""Path -> seed -> accuracy on the samples held out."""


def table(accuracies: Accuracies) -> str:
    """Of each path the mean accuracy, its standard deviation over seeds, and that of each seed."""
    seeds = sorted(next(iter(accuracies.values())))
    written = io.StringIO()
    rows = csv.writer(written, lineterminator="\n")
    rows.writerow(["path", "accuracy", "sd", *seeds])
    for path, values in sorted(accuracies.items()):
        found = [values[seed] for seed in seeds]
        numbers = [statistics.fmean(found), statistics.stdev(found), *found]
        rows.writerow(["-".join(map(str, path)), *(f"{number:.6f}" for number in numbers)])
    return written.getvalue()


def table_of(job: Path) -> Path:
    """The file that holds what the trials of ``job`` have found."""
    return job.with_suffix(".csv")


def read(file: Path) -> Accuracies:
    """Path -> seed -> accuracy, from a table."""
    with file.open(newline="") as stream:
        return {
            tuple(map(int, row["path"].split("-"))): {
                int(name): float(value) for name, value in row.items() if name.isdecimal()
            }
            for row in csv.DictReader(stream)
        }


def measured(job: Path, storage: str) -> Accuracies:
    """Train what is not trained yet under ``storage``; accuracies of all trials of ``job``."""
    import trainwright

    sweep = trainwright.run(job, overrides=[f"storage={storage}", "tracking.enabled=false"])
    found: Accuracies = {}
    for trial in sweep.trials:
        chosen = trial.assignment
        path = tuple(chosen[name] for name in chosen if name.startswith("model.path."))
        accuracy = trial.values["validation/accuracy"]
        found.setdefault(path, {})[chosen["seed"]] = accuracy
    return found


def main(arguments: Sequence[str]) -> None:
    """Write the tables."""
    storage = arguments[0] if arguments else str(HERE.parents[1] / "build" / "nas")
    for job in JOBS:
        table_of(job).write_text(table(measured(job, storage)))


if __name__ == "__main__":
    main(sys.argv[1:])
