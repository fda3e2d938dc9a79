"""Measure Trainwright against bare loops and scripts: ``make bench``.

python jobs/benchmarks/run_all.py                 everything; writes RESULTS.md
python jobs/benchmarks/run_all.py loop            one benchmark; the others' results stay
python jobs/benchmarks/run_all.py --quick         a short form that only shows
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import federated
import federated_costs
import launch
import loop
import memory
import paths
import plots
import recovery
import report
import saving
import streaming
import sweeps

HERE = Path(__file__).resolve().parent
RECORDS = HERE.parents[1] / "build" / "benchmarks"
NAMES = (
    "loop",
    "launch",
    "memory",
    "saving",
    "recovery",
    "streaming",
    "federated",
    "paths",
    "sweeps",
)

PAIRS = {
    "loop": 60,
    "launch": 7,
    "memory": 20,
    "saving": 14,
    "recovery": 5,
    "streaming": 40,
    "federated": 40,
    "paths": 30,
    "sweeps": 200,
}
QUICK_PAIRS = {
    "loop": 3,
    "launch": 1,
    "memory": 3,
    "saving": 2,
    "recovery": 1,
    "streaming": 5,
    "federated": 4,
    "paths": 2,
    "sweeps": 8,
}


def run_loop(pairs: int, quick: bool) -> list[dict[str, Any]]:
    """Every case of the loop benchmark; of the quick form, one for each model."""
    results = []
    for case in loop.cases(pairs):
        if quick and (case.stage, case.workers) != (0, 1):
            continue
        found = loop.compare(case)
        results.append({**asdict(found), "goal": found.goal})
        print(report.loop_table(results)[-1], flush=True)
    return results


def run_launch(pairs: int, quick: bool) -> dict[str, Any]:
    """The launch benchmark."""
    return asdict(launch.compare(pairs))


def run_memory(pairs: int, quick: bool) -> list[dict[str, Any]]:
    """The memory benchmark."""
    return [asdict(memory.compare(samples, pairs)) for samples in memory.SAMPLES]


def run_saving(pairs: int, quick: bool) -> list[dict[str, Any]]:
    """The benchmark of checkpoints."""
    return [asdict(saving.compare(place, pairs)) for place in saving.PLACES]


def run_recovery(pairs: int, quick: bool) -> list[dict[str, Any]]:
    """Every case of the recovery benchmark; ``pairs`` are kills."""
    return [asdict(recovery.measure(case, pairs)) for case in recovery.CASES]


def run_streaming(pairs: int, quick: bool) -> list[dict[str, Any]]:
    """The streaming benchmark."""
    return [asdict(streaming.compare(table, pairs)) for table in streaming.TABLES]


def run_federated(pairs: int, quick: bool) -> dict[str, Any]:
    """The federated benchmark; of the quick form, with the cost of one size."""
    sizes = federated_costs.SIZES[: 1 if quick else None]
    return {
        **asdict(federated.compare(pairs)),
        "costs": [asdict(row) for row in federated_costs.costs(max(pairs // 4, 1), sizes)],
    }


def run_paths(pairs: int, quick: bool) -> list[dict[str, Any]]:
    """The benchmark of path samplers; of the quick form, the smallest supernet."""
    return [asdict(paths.compare(net, pairs)) for net in paths.SUPERNETS[-1 if quick else 0 :]]


def run_sweeps(pairs: int, quick: bool) -> dict[str, Any]:
    """The benchmark of sweeps; ``pairs`` are trials."""
    return asdict(sweeps.compare(pairs))


BENCHMARKS: dict[str, Callable[[int, bool], Any]] = {
    "loop": run_loop,
    "launch": run_launch,
    "memory": run_memory,
    "saving": run_saving,
    "recovery": run_recovery,
    "streaming": run_streaming,
    "federated": run_federated,
    "paths": run_paths,
    "sweeps": run_sweeps,
}


def measured(name: str, pairs: int, quick: bool) -> dict[str, Any]:
    """Run one benchmark; its record: results, date, command, machine, load."""
    load = os.getloadavg()[0]
    began = time.monotonic()
    results = BENCHMARKS[name](pairs, quick)
    return {
        "name": name,
        "date": time.strftime("%Y-%m-%d"),
        "command": f"python jobs/benchmarks/run_all.py {name} --pairs {pairs}",
        "machine": report.machine(),
        "load": [load, os.getloadavg()[0]],
        "seconds": time.monotonic() - began,
        "results": results,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write RESULTS.md from all records there are."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(NAMES)}; default: all")
    parser.add_argument("--quick", action="store_true", help="few pairs and cases; writes nothing")
    parser.add_argument("--pairs", type=int, help=f"timed pairs of each; default: {PAIRS}")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}: there are {', '.join(NAMES)}")
    usual = QUICK_PAIRS if options.quick else PAIRS
    records = [
        measured(name, options.pairs or usual[name], options.quick)
        for name in options.names or NAMES
    ]
    if options.quick:
        print(report.document(records))
        return
    RECORDS.mkdir(parents=True, exist_ok=True)
    for record in records:
        (RECORDS / f"{record['name']}.json").write_text(json.dumps(record, indent=1))
    files = [RECORDS / f"{name}.json" for name in NAMES]
    records = [json.loads(file.read_text()) for file in files if file.exists()]
    (HERE / "RESULTS.md").write_text(report.document(records))
    plots.plot_ratios(plots.rows_of(records), RECORDS / "ratios.png")
    print(report.document(records))


if __name__ == "__main__":
    main()
