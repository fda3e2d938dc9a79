"""Measure Trainwright against bare loops, scripts and peers: ``make bench``.

python jobs/benchmarks/run_all.py                 everything; writes RESULTS.md and figures
python jobs/benchmarks/run_all.py loop            one benchmark; the others' results stay
python jobs/benchmarks/run_all.py --quick         a short form that only shows
python jobs/benchmarks/run_all.py --render        RESULTS.md again from what was measured here
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from classes.benchmark import BENCHMARK as CLASSES
from common import report
from common.benchmark import Benchmark, Judged
from common.peers import PEERS
from common.plots import plot_ratios
from costs.benchmark import BENCHMARK as COSTS
from data.benchmark import BENCHMARK as DATA
from federated.benchmark import BENCHMARK as FEDERATED
from launch.benchmark import BENCHMARK as LAUNCH
from local.benchmark import BENCHMARK as LOCAL
from loop.benchmark import BENCHMARK as LOOP
from memory.benchmark import BENCHMARK as MEMORY
from paths.benchmark import BENCHMARK as PATHS
from recovery.benchmark import BENCHMARK as RECOVERY
from saving.benchmark import BENCHMARK as SAVING
from scaling.benchmark import BENCHMARK as SCALING
from scaling.gpu import BENCHMARK as GPU
from sweeps.benchmark import BENCHMARK as SWEEPS

HERE = Path(__file__).resolve().parent
RECORDS = HERE.parents[1] / "build" / "benchmarks"
FIGURES = HERE / "figures"
BENCHMARKS = (
    LOOP,
    LOCAL,
    LAUNCH,
    MEMORY,
    SAVING,
    RECOVERY,
    DATA,
    PATHS,
    COSTS,
    FEDERATED,
    SWEEPS,
    CLASSES,
    SCALING,
    GPU,
)
NAMED = {benchmark.name: benchmark for benchmark in BENCHMARKS}


def measured(benchmark: Benchmark, pairs: int, quick: bool) -> dict[str, Any]:
    """Run one benchmark; its record: results, date, command, machine, load."""
    machine, load = report.machine(), os.getloadavg()[0]
    began = time.monotonic()
    results = benchmark.run(pairs, quick)
    return {
        "name": benchmark.name,
        "date": time.strftime("%Y-%m-%d"),
        "command": f"python jobs/benchmarks/run_all.py {benchmark.name} --pairs {pairs}",
        "machine": machine,
        "peers": {name: PEERS[name].versions(of) for name, of in benchmark.peers.items()},
        "load": [load, os.getloadavg()[0]],
        "seconds": time.monotonic() - began,
        "results": results,
    }


def publish(records: Sequence[dict[str, Any]]) -> str:
    """Draw the figures and write RESULTS.md from the records of some benchmarks; its text.

    What RESULTS.md and the common figure have of other benchmarks stays.
    """
    FIGURES.mkdir(exist_ok=True)
    results = HERE / "RESULTS.md"
    kept = report.sections_of(results.read_text()) if results.exists() else {}
    figures = {}
    for record in records:
        benchmark = NAMED[record["name"]]
        kept.pop(benchmark.name, None)
        if benchmark.draw is not None:
            benchmark.draw(record["results"], FIGURES / f"{benchmark.name}.svg")
            figures[benchmark.name] = f"figures/{benchmark.name}.svg"
    if kept:
        print(f"not measured in this checkout, left as they were: {', '.join(kept)}")
    if rows := _judged(records):
        plot_ratios(rows, FIGURES / "ratios.svg")
        figures["ratios"] = "figures/ratios.svg"
    text = report.document(BENCHMARKS, records, figures, kept)
    results.write_text(text)
    return text


def _judged(records: Sequence[dict[str, Any]]) -> list[Judged]:
    """All ratios with a goal, those of other benchmarks from ``figures/ratios.json``."""
    file = FIGURES / "ratios.json"
    found = json.loads(file.read_text()) if file.exists() else {}
    for record in records:
        found[record["name"]] = [
            [label, {key: round(ratio[key], 4) for key in ("median", "low", "high")}, goal]
            for label, ratio, goal in NAMED[record["name"]].ratios(record["results"])
        ]
    ordered = {name: found[name] for name in NAMED if found.get(name)}
    file.write_text(json.dumps(ordered, indent=1) + "\n")
    return [(label, ratio, goal) for rows in ordered.values() for label, ratio, goal in rows]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write RESULTS.md from all records there are."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(NAMED)}; default: all")
    parser.add_argument("--quick", action="store_true", help="few pairs and cases; writes nothing")
    parser.add_argument("--render", action="store_true", help="measure nothing: write again")
    usual = ", ".join(f"{b.name} {b.pairs}" for b in BENCHMARKS)
    parser.add_argument("--pairs", type=int, help=f"how often is measured; default: {usual}")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(NAMED):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}: there are {', '.join(NAMED)}")
    if options.pairs is not None and options.pairs < 1:
        parser.error(f"--pairs is at least 1, got {options.pairs}")
    RECORDS.mkdir(parents=True, exist_ok=True)
    shown = []
    chosen = [] if options.render else options.names or NAMED
    for benchmark in [NAMED[name] for name in chosen]:
        pairs = options.pairs or (benchmark.quick_pairs if options.quick else benchmark.pairs)
        record = measured(benchmark, pairs, options.quick)
        shown.append(record)
        if not options.quick:
            (RECORDS / f"{benchmark.name}.json").write_text(json.dumps(record, indent=1))
    if not options.quick:
        files = [RECORDS / f"{name}.json" for name in NAMED]
        publish([json.loads(file.read_text()) for file in files if file.exists()])
    print(report.document(BENCHMARKS, shown))


if __name__ == "__main__":
    main()
