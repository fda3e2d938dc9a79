"""PREDICTIONS.md: what the model says of 8 to 4,096 workers, from the record of ``scaling``.

python -m scaling.predict, in jobs/benchmarks, after ``run_all.py scaling``. It measures nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.children import ROOT
from common.plots import figure
from common.words import table

from scaling import bottlenecks
from scaling.machines import ASSUMED, COMMON, CORES, PER_NODE, STORAGE_BYTES_PER_S
from scaling.measured import Held, models_of, network_here, validation, workload_of
from scaling.model import Network, Prediction, Workload, hierarchical_s, predict, ring_s

NUMBERS = (8, 64, 512, 1024, 4096)
RECORD = ROOT.parents[1] / "build" / "benchmarks" / "scaling.json"
LARGEST = ASSUMED[-1]

HEAD = """# Predictions

Nothing on this page was measured at the sizes it speaks of. A small model (`scaling/model.py`,
`scaling/bottlenecks.py`) computes them from costs that the benchmark `scaling` measured on one
machine, and, where it says so, from assumptions. `python -m scaling.predict` writes this page.
RESULTS.md has what was measured.

![Efficiency against workers: measured, and predicted](figures/scaling.svg)
"""

ASSUMPTIONS = (
    "weak scaling: each worker has as many samples whatever their number",
    "times of an update on different workers are independent and lognormal; all wait for the "
    "slowest",
    "an exchange costs alpha for each message and beta for each byte, and no message meets "
    "another: no congestion, no failing links, the same for all pairs",
    "a ring has 2 (N - 1) messages in a row; between nodes latency is that of a tree, "
    "2 log2(nodes) messages, and bytes go around a ring; a reduce-scatter and an all-gather cost "
    "as much as an all-reduce",
    "overlapped: nine tenths of an exchange may hide behind the backward pass, if that takes as "
    "long",
    "data are there when they are needed; evaluation, failures and restarts are not in it",
    "what the driver's node does takes nothing from workers that have cores of their own, but "
    "shares are given as if of one core of this machine",
    "costs for a worker stay what they are with few workers; Ray's own limits beyond the "
    "controller (its head's tables, the number of nodes) are not in it",
)


def page(record: Mapping[str, Any]) -> str:
    """The text of PREDICTIONS.md."""
    results, where = record["results"], record["machine"]
    sections = [
        HEAD,
        f"From the record of {record['date']}, commit {where['commit']}, {where['cpus']} CPUs "
        f"({where['processor']}); torch {where['torch']}, ray {where['ray']}.\n",
        "## What of ours breaks first\n",
        *_first(results["costs"]),
        "\n## Small models, links as on this machine's loopback\n",
        *_here(results),
        "\n## Hypothetical clusters\n",
        *_assumed(),
        "\n## Starts and checkpoints\n",
        *_starts(results["costs"]),
        "\n## How well the model does here\n",
        *_held(validation(results)),
        "\n## Assumptions\n",
        *(f"- {line}." for line in (*ASSUMPTIONS, *COMMON)),
        *(f"- {a.work.name}: {line}." for a in ASSUMED for line in a.lines),
    ]
    return "\n".join(sections) + "\n"


def _count(workers: int | None) -> str:
    return f"{workers:,}" if workers is not None else f"over {bottlenecks.FAR:,}"


def _first(costs: Mapping[str, Any]) -> list[str]:
    """Shares of a core with N workers, and the numbers at which they matter."""
    now = bottlenecks.loads(costs, LARGEST.work.tensors)
    former = bottlenecks.former_loads(costs)
    columns = ("share of a core with N workers", *(f"{n:,}" for n in NUMBERS))

    def rows(loads: Sequence[bottlenecks.Load]) -> list[tuple[str, ...]]:
        return [
            (
                load.what,
                *(f"{load.share(n):.1%}" for n in NUMBERS),
                _count(load.reaches(bottlenecks.NOTICED)),
                _count(load.reaches(bottlenecks.SATURATED)),
            )
            for load in loads
        ]

    return [
        _first_of([load for load in now if load.stalls], "in the way of an update"),
        _first_of([load for load in now if not load.stalls], "beside it, on the driver's node"),
        "",
        *table((*columns, "5 % at N =", "full at N ="), rows(now)),
        "",
        *(f"- {load.what}: when full, {load.harm}." for load in now),
        "",
        "How often the first two happen depends on the number of workers (`Pace`, `of_a_group`), "
        "and so does the number of wishes for more. Without that, at the costs measured here:",
        "",
        *table((*columns, "5 % at N =", "full at N ="), rows(former)),
    ]


def _first_of(loads: Sequence[bottlenecks.Load], where: str) -> str:
    """Which of them is the first to matter, and at how many workers."""

    def reached(share: float) -> tuple[bottlenecks.Load, int | None]:
        found = [(load, load.reaches(share)) for load in loads]
        return min(found, key=lambda one: one[1] or 2 * bottlenecks.FAR)

    noticed, full = reached(bottlenecks.NOTICED), reached(bottlenecks.SATURATED)
    return (
        f"The first {where}: {noticed[0].what}, 5 % of a core at {_count(noticed[1])} workers; a "
        f"core for good at {_count(full[1])} ({full[0].what})."
    )


def _rows(work: Workload, network: Network, **how: Any) -> list[Prediction]:
    return [predict(work, network, workers, **how) for workers in NUMBERS]


def _cells(found: Prediction) -> tuple[str, ...]:
    parts = (found.compute_s, found.waiting_s, found.exchange_s)
    return (
        f"{found.workers:,}",
        f"{found.samples_per_second:,.0f}",
        f"{found.efficiency:.1%}",
        *(f"{part * 1e3:.2f}" for part in parts),
    )


COLUMNS = ("workers", "samples/s", "efficiency", "computing, ms", "waiting, ms", "exchange, ms")


def _here(results: Mapping[str, Any]) -> list[str]:
    lines = []
    for model, stage in models_of(results):
        work, network = workload_of(results, model, stage), network_here(results, stage)
        found = _rows(work, network)
        cells = [_cells(one) for one in found]
        lines += ["", f"{work.name} (ring, not overlapped, as DeepSpeed does on CPUs):", ""]
        lines += table(COLUMNS, cells)
    return lines[1:]


def _assumed() -> list[str]:
    lines: list[str] = []
    for setting in ASSUMED:
        for overlapped in (False, True):
            how = "overlapped" if overlapped else "not overlapped"
            found = _rows(
                setting.work, setting.network, exchange="hierarchical", overlapped=overlapped
            )
            lines += ["", f"{setting.work.name}, {how} with the backward pass:", ""]
            lines += table(COLUMNS, [_cells(one) for one in found])
        largest = NUMBERS[-1]
        size, net = setting.work.gradient_bytes, setting.network
        inside = hierarchical_s(PER_NODE, size, net) / hierarchical_s(largest, size, net)
        flat = ring_s(largest, size, net.alpha_s, net.beta_s * PER_NODE)
        lines += [
            "",
            f"Of the exchange among {largest:,}, {inside:.0%} goes on inside nodes; one ring over "
            f"all GPUs would take {flat * 1e3:,.0f} ms.",
        ]
    return lines[1:]


def _starts(costs: Mapping[str, Any]) -> list[str]:
    parts = bottlenecks.launch_s(costs, 1, PER_NODE, CORES)
    state = LARGEST.work.state_bytes
    pieces = bottlenecks.KINDS * LARGEST.work.tensors
    each = costs["checkpoint"]["median"]
    rows = []
    for workers in NUMBERS:
        seconds = bottlenecks.launch_s(costs, workers, PER_NODE, CORES)
        written = max(state / workers * each, state / STORAGE_BYTES_PER_S)
        manifest = costs["commit"]["each"] * pieces * workers
        rows.append(
            (
                f"{workers:,}",
                *(f"{seconds[part]:.1f}" for part in parts),
                f"{sum(seconds.values()):.1f}",
                f"{written:.1f}",
                f"{manifest:.1f}",
            )
        )
    return [
        f"Seconds. Checkpoints: {LARGEST.work.name}, {state / 1e9:.1f} GB, each worker writing its "
        "share as fast as one does on the disk of this machine, all together no faster than the "
        "assumed storage; the manifest is worker 0's, in the background, at ZeRO 3.",
        "",
        *table(("workers", *parts, "until all train", "checkpoint written", "its manifest"), rows),
    ]


def _held(found: Sequence[Held]) -> list[str]:
    errors = sorted(abs(one.error) for one in found if not one.oversubscribed)
    worst = f"{errors[-1]:.0%}" if errors else "-"
    middle = f"{errors[len(errors) // 2]:.0%}" if errors else "-"
    return [
        "The same model for the workers of this machine, beside what was measured (ours). Cores "
        "share caches, memory and clock: here, and nowhere else on this page, computing takes "
        "longer by as much as it does side by side without any exchange, which was measured, too. "
        f"Where there are not more workers than cores, the error is {middle} in the median and "
        f"{worst} at most.",
        "",
        *table(
            ("model", "ZeRO", "workers", "scaling", "predicted, ms", "measured, ms", "error"),
            [
                (
                    one.case["model"],
                    one.case["stage"],
                    f"{one.case['workers']}{', more than cores' if one.oversubscribed else ''}",
                    one.case["way"],
                    f"{one.predicted_s * 1e3:.2f}",
                    f"{one.measured_s * 1e3:.2f}",
                    f"{one.error:+.0%}",
                )
                for one in found
            ],
        ),
    ]


def draw(results: Mapping[str, Any], file: Path) -> None:
    """Efficiency against workers: measured here, and predicted, which is drawn in broken lines."""
    with figure(file, height=4.5) as drawn:
        axes = drawn.subplots()
        _plot(results, axes)
        axes.set_xscale("log", base=2)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("workers; points measured, broken lines predicted")
        axes.set_ylabel("efficiency (weak scaling), %")
        axes.legend(fontsize=8)


def _plot(results: Mapping[str, Any], axes: Any) -> None:
    numbers = [2**power for power in range(13)]
    colors = iter(("tab:blue", "tab:orange", "tab:green", "tab:red", "tab:purple"))
    for model, stage in models_of(results):
        if stage != 0:
            continue
        color = next(colors)
        work, network = workload_of(results, model, stage), network_here(results, stage)
        told = [100 * predict(work, network, n).efficiency for n in numbers]
        axes.plot(numbers, told, "--", color=color)
        rows = [
            row
            for row in results["scaled"]
            if (row["case"]["model"], row["case"]["stage"]) == (model, stage)
            and row["case"]["way"] == "weak"
            and not row["oversubscribed"]
        ]
        at = [row["case"]["workers"] for row in rows]
        ours = [row["efficiency"]["ours"] for row in rows]
        for x, one in zip(at, ours, strict=True):
            axes.plot([x, x], [100 * one["low"], 100 * one["high"]], color=color)
        axes.plot(at, [100 * one["median"] for one in ours], "o", color=color, label=work.name)
    for setting in ASSUMED:
        told = [
            100 * predict(setting.work, setting.network, n, "hierarchical", True).efficiency
            for n in numbers
        ]
        axes.plot(numbers, told, "--", color=next(colors), label=setting.work.name)


def main() -> None:
    """Write the page and the figure."""
    if not RECORD.exists():
        raise SystemExit(f"there is no {RECORD}: run `python jobs/benchmarks/run_all.py scaling`")
    record = json.loads(RECORD.read_text())
    (ROOT / "PREDICTIONS.md").write_text(page(record))


if __name__ == "__main__":
    main()
