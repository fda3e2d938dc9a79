"""The measurements in words: RESULTS.md, written from the records of each benchmark."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from report_federated import federated_tables
from report_sweeps import sweeps_table
from report_words import ratio, side, table, verdict

from trainwright.orchestration.machine import cpus_here

LIBRARIES = ("torch", "deepspeed", "ray", "mlflow")

STAGE_WORDS = {
    "driver": "driver: imports, for us all checks and a pass over samples",
    "worker": "Ray: cluster, controller, until worker 0's process exists",
    "data": "worker: imports, process group, data",
    "engine": "worker: model, `deepspeed.initialize`",
    "update": "first update",
    "total": "command to first update",
}

HEAD = """# Results

Written by `make bench`, not by hand; README.md beside this file says how it is measured.
A ratio is ours / bare: the median over pairs, with its 95 % interval. Times are medians with
quartiles. A goal is met when the median ratio does not exceed it.
"""


def machine() -> dict[str, Any]:
    """Where and with what was measured."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    return {
        "cpus": cpus_here(),
        "processor": _processor(),
        "python": platform.python_version(),
        "commit": commit or "unknown",
        **{name: version(name) for name in LIBRARIES},
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def document(records: Iterable[Mapping[str, Any]]) -> str:
    """RESULTS.md from the record of each benchmark (see ``run_all.measured``)."""
    sections = [HEAD]
    for record in records:
        found = TABLES[record["name"]](record["results"])
        sections.append(
            "\n".join([f"## {record['name']}", "", *_circumstances(record), "", *found])
        )
    return "\n".join(section.rstrip() + "\n" for section in sections)


def _circumstances(record: Mapping[str, Any]) -> list[str]:
    where, before, after = record["machine"], *record["load"]
    versions = ", ".join(f"{name} {where[name]}" for name in ("python", *LIBRARIES))
    busy = " The machine was NOT quiet." if before > where["cpus"] / 2 else ""
    return [
        f"{record['date']}, `{record['command']}`, {record['seconds']:.0f} s, "
        f"commit {where['commit']}  ",
        f"{where['cpus']} CPUs ({where['processor']}), no GPU; {versions}  ",
        f"load average {before:.2f} before, {after:.2f} at the end (ours included).{busy}",
    ]


def loop_table(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line for each case."""
    columns = "model", "ZeRO", "workers", "pairs", "ours, ms per update", "bare, ms"
    return table(
        (*columns, "ratio", "ratio of CPU time", "goal", "verdict"),
        [
            (
                *(row["case"][key] for key in ("model", "stage", "workers")),
                row["wall"]["pairs"],
                side(row["ours"], 1e3),
                side(row["bare"], 1e3),
                ratio(row["wall"]),
                ratio(row["cpu"]),
                row["goal"],
                verdict(row["wall"], row["goal"]),
            )
            for row in results
        ],
    )


def launch_table(results: Mapping[str, Any]) -> list[str]:
    """The ratio, and where the seconds go."""
    wall, goal = results["ratio"], results["goal"]
    ours, bare = results["ours"], results["bare"]
    return [
        f"Ratio {ratio(wall)} over {wall['pairs']} pairs, goal {goal}: {verdict(wall, goal)}. "
        f"Command to first update: ours {side(results['ours_s'])} s, bare "
        f"{side(results['bare_s'])} s. The first launch, in an empty storage (not counted): "
        f"{results['first'][0]:.1f} s and {results['first'][1]:.1f} s.",
        "",
        *table(
            ("stage, median seconds", "ours", "bare"),
            [(word, f"{ours[s]:.1f}", f"{bare[s]:.1f}") for s, word in STAGE_WORDS.items()],
        ),
    ]


def memory_table(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line for each size of the update."""
    columns = "samples per update", "pairs", "with, ms per update", "without, ms", "ratio"
    return table(
        (*columns, "peak with, MiB", "peak without, MiB"),
        [
            (
                row["samples"],
                row["ratio"]["pairs"],
                side(row["ours"], 1e3),
                side(row["bare"], 1e3),
                ratio(row["ratio"]),
                *(f"{row[peak] / 2**20:.0f}" for peak in ("ours_peak", "bare_peak")),
            )
            for row in results
        ],
    )


def saving_table(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line for each place."""
    columns = "place", "MB", "pairs", "while writing, ms per update", "without, ms", "ratio"
    return table(
        (
            *(*columns, "goal", "verdict", "pause, ms", "written in, s", "updates meanwhile"),
            *("processor time of ours besides training, s", "of the server, s"),
        ),
        [
            (
                row["place"],
                round(row["size_bytes"] / 1e6),
                row["ratio"]["pairs"],
                side(row["ours"], 1e3),
                side(row["bare"], 1e3),
                ratio(row["ratio"]),
                row["goal"],
                verdict(row["ratio"], row["goal"]),
                side(row["pause"], 1e3),
                side(row["writing"]),
                row["updates"],
                *(side(row[key]) if row.get(key) else "-" for key in ("background", "server")),
            )
            for row in results
        ],
    )


def recovery_table(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line for each kind of kill."""
    words = {
        "noticed": "noticed",
        "worker": "Ray: new processes",
        "data": "imports, data",
        "engine": "model, engine",
    }
    columns = "killed", "health check", "kills", "seconds to the first update"
    return table(
        (*columns, *(f"{word}, s" for word in words.values()), "goal, s", "verdict"),
        [
            (
                row["case"]["what"],
                "as the README advises" if row["case"]["noticing"] else "Ray's own",
                row["kills"],
                side(row["seconds"]),
                *(f"{row['stages'][stage]:.1f}" for stage in words),
                row["case"]["goal"],
                "met" if row["seconds"]["median"] <= row["case"]["goal"] else "missed",
            )
            for row in results
        ],
    )


def streaming_table(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line for each table."""

    def rate(row: Mapping[str, Any], name: str) -> str:
        return f"{row['rows'] / row[name]['median'] / 1e6:.2f}"

    columns = "table", "pairs", "ours, million rows/s", "bare scan", "scan, views", "Ray Data"
    ratios = "ratio to the scan", "goal", "verdict", "ratio to Ray Data", "goal", "verdict"
    return table(
        (*columns, *ratios, "ratio to the scan of views"),
        [
            (
                row["table"],
                row["scan"]["pairs"],
                *(rate(row, name) for name in ("ours", "bare", "bare_views", "ray_s")),
                ratio(row["scan"]),
                f"{row['goal']:.2f}",
                verdict(row["scan"], row["goal"]),
                ratio(row["ray"]),
                row["ray_goal"],
                verdict(row["ray"], row["ray_goal"]),
                ratio(row["views"]),
            )
            for row in results
        ],
    )


def paths_table(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line for each supernet."""
    columns = "supernet", "pairs", "PA&DA, ms per update", "uniform, ms"
    return table(
        (*columns, "ratio", "ratio of CPU time", "goal", "verdict"),
        [
            (
                row["name"],
                row["ratio"]["pairs"],
                side(row["ours"], 1e3),
                side(row["bare"], 1e3),
                ratio(row["ratio"]),
                ratio(row["cpu"]),
                row["goal"] or "-",
                verdict(row["ratio"], row["goal"]) if row["goal"] else "-",
            )
            for row in results
        ],
    )


TABLES: dict[str, Callable[[Any], list[str]]] = {
    "loop": loop_table,
    "launch": launch_table,
    "memory": memory_table,
    "saving": saving_table,
    "recovery": recovery_table,
    "streaming": streaming_table,
    "federated": federated_tables,
    "paths": paths_table,
    "sweeps": sweeps_table,
}
