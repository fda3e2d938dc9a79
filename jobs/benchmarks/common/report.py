"""RESULTS.md, written from the records of each benchmark."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from common.benchmark import Benchmark
from trainwright.orchestration.machine import cpus_here

WRITTEN = ("RESULTS.md", "PREDICTIONS.md", "figures")
"""What benchmarks write, in their folder."""

LIBRARIES = ("torch", "deepspeed", "ray", "mlflow")

_CODE = (":/", *(f":(exclude,top)jobs/benchmarks/{name}" for name in WRITTEN))

HEAD = """# Results

Written by `make bench`, not by hand; README.md beside this file says how it is measured.
A ratio is ours / the other: the median over pairs, with its 95 % interval. Times are medians with
quartiles. A goal is met when the upper end of the interval does not exceed it.
"""


def machine() -> dict[str, Any]:
    """Where and with what was measured."""
    return {
        "cpus": cpus_here(),
        "processor": _processor(),
        "gpus": _gpus(),
        "python": platform.python_version(),
        "commit": _git("rev-parse", "--short", "HEAD") or "unknown",
        "changed": bool(_git("status", "--porcelain", "--untracked-files=no", "--", *_CODE)),
        **{name: version(name) for name in LIBRARIES},
    }


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip()


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _gpus() -> list[str]:
    import torch

    return [torch.cuda.get_device_name(place) for place in range(torch.cuda.device_count())]


def document(
    benchmarks: Sequence[Benchmark],
    records: Sequence[Mapping[str, Any]],
    figures: Mapping[str, str] | None = None,
    kept: Mapping[str, str] | None = None,
) -> str:
    """RESULTS.md.

    Args:
        benchmarks: all there are, in the order of the sections.
        records: of some of them (see ``run_all.measured``).
        figures: places of the figures, by the benchmark's name; ``ratios`` for the common one.
        kept: sections of others, see :func:`sections_of`.
    """
    figures, texts = figures or {}, dict(kept or {})
    named = {benchmark.name: benchmark for benchmark in benchmarks}
    for record in records:
        name = record["name"]
        lines = [f"## {name}", "", *_circumstances(record), ""]
        lines += named[name].tables(record["results"])
        if name in figures:
            lines += ["", f"![{name}]({figures[name]})"]
        texts[name] = "\n".join(lines)
    sections = [HEAD]
    if "ratios" in figures:
        sections.append(f"![All ratios with a goal]({figures['ratios']})")
    sections += [texts[name] for name in named if name in texts]
    return "\n".join(section.rstrip() + "\n" for section in sections)


def sections_of(text: str) -> dict[str, str]:
    """The sections of a RESULTS.md, by the names of their benchmarks."""
    _, *sections = text.split("\n## ")
    return {section.split(maxsplit=1)[0]: f"## {section}" for section in sections}


def _circumstances(record: Mapping[str, Any]) -> list[str]:
    where, before, after = record["machine"], *record["load"]
    versions = ", ".join(f"{name} {where[name]}" for name in ("python", *LIBRARIES))
    busy = " The machine was NOT quiet." if before > where["cpus"] / 2 else ""
    gpus = ", ".join(where.get("gpus", [])) or "no GPU"
    changed = " with changes" if where.get("changed") else ""
    peers = record.get("peers", {}).items()
    told = [f"{name}: {', '.join(f'{p} {v}' for p, v in of.items())}" for name, of in peers]
    return [
        f"{record['date']}, `{record['command']}`, {record['seconds']:.0f} s, "
        f"commit {where['commit']}{changed}  ",
        f"{where['cpus']} CPUs ({where['processor']}), {gpus}; {versions}  ",
        *([f"peers' environments: {'; '.join(told)}  "] if told else []),
        f"load average {before:.2f} before, {after:.2f} at the end (ours included).{busy}",
    ]
