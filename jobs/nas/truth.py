"""Writes truth.csv, the true ranking of a space of architectures, from the trials of truth.yaml.

python jobs/nas/truth.py [STORAGE]      runs the sweep, or goes on with it, and writes the table
"""

from __future__ import annotations

import csv
import io
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

JOB = Path(__file__).with_name("truth.yaml")
TABLE = JOB.with_name("truth.csv")

Accuracies = dict[tuple[int, ...], dict[int, float]]
"""Path -> seed -> accuracy on the images held out."""


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


def read(file: Path = TABLE) -> Accuracies:
    """Path -> seed -> accuracy, from the table."""
    with file.open(newline="") as stream:
        return {
            tuple(map(int, row["path"].split("-"))): {
                int(name): float(value) for name, value in row.items() if name.isdecimal()
            }
            for row in csv.DictReader(stream)
        }


def measured(storage: str) -> Accuracies:
    """Train what is not trained yet under ``storage``; accuracies of all trials."""
    import trainwright

    sweep = trainwright.run(JOB, overrides=[f"storage={storage}", "tracking.enabled=false"])
    found: Accuracies = {}
    for trial in sweep.trials:
        chosen = trial.assignment
        path = tuple(chosen[name] for name in chosen if name.startswith("model.path."))
        accuracy = trial.values["validation/accuracy"]
        found.setdefault(path, {})[chosen["seed"]] = accuracy
    return found


def main(arguments: Sequence[str]) -> None:
    """Write the table."""
    storage = arguments[0] if arguments else str(JOB.parents[2] / "build" / "nas")
    TABLE.write_text(table(measured(storage)))


if __name__ == "__main__":
    main(sys.argv[1:])
