"""Made-up records of benchmarks."""

from __future__ import annotations

from typing import Any

from common.report import LIBRARIES
from federated import measure as federated
from launch.measure import STAGES, WORKER_STAGES
from paths import measure as paths


def made_ratio(median: float, low: float, high: float) -> dict[str, Any]:
    return {"median": median, "low": low, "high": high, "pairs": 20, "groups": 1}


def record(name: str, results: Any, load: float = 0.1) -> dict[str, Any]:
    where = {"cpus": 2, "processor": "Abacus", "python": "3.11", "commit": "abc1234"}
    where.update(dict.fromkeys(LIBRARIES, "1.0"))
    return {
        "name": name,
        "date": "2030-01-02",
        "command": f"run {name}",
        "machine": where,
        "load": [load, 1.5],
        "seconds": 61.2,
        "results": results,
    }


LOOP = [
    {
        "case": {"model": "mlp", "stage": 3, "workers": 2},
        "wall": made_ratio(1.0412, 1.03, 1.06),
        "cpu": made_ratio(1.02, 1.01, 1.03),
        "ours": {"median": 0.0021, "low": 0.002, "high": 0.0025},
        "bare": {"median": 0.002, "low": 0.0019, "high": 0.0024},
        "goal": 1.05,
        "units": 64,
        "unit": "samples",
        "ours_growth": 150 * 2**20,
        "bare_growth": 160 * 2**20,
    }
]
LAUNCH = {
    "ratio": made_ratio(1.4, 1.35, 1.5),
    "ours_s": {"median": 14.0, "low": 13.0, "high": 15.0},
    "bare_s": {"median": 10.0, "low": 9.0, "high": 11.0},
    "ours": {**dict.fromkeys(STAGES, 2.8), "total": 14.0},
    "bare": {**dict.fromkeys(STAGES, 2.0), "total": 10.0},
    "first": [30.0, 12.0],
    "waits": [{"name": "a mistake", "seconds": {"median": 1.5, "low": 1.4, "high": 1.75}}],
    "goal": 1.3,
}


DATA = [
    {
        "case": "lists",
        "rows": 200_000,
        "sides": [
            {
                "name": "ours",
                "order": "windows",
                "goal": None,
                "epoch": {"median": 0.1, "low": 0.1, "high": 0.2},
                "ratio": None,
                "resumed": {"median": 0.01, "low": 0.01, "high": 0.02},
                "is_exact": True,
            },
            {
                "name": "scan",
                "order": "nothing",
                "goal": 1.1,
                "epoch": {"median": 0.08, "low": 0.08, "high": 0.08},
                "ratio": made_ratio(1.25, 1.2, 1.3),
                "resumed": None,
                "is_exact": None,
            },
            {
                "name": "loader",
                "order": "a buffer",
                "goal": 1.0,
                "epoch": None,
                "ratio": None,
                "resumed": None,
                "is_exact": None,
            },
        ],
    }
]

MEMORY = [
    {
        "samples": 64,
        "ratio": made_ratio(0.7, 0.65, 0.75),
        "ours": {"median": 0.014, "low": 0.013, "high": 0.015},
        "bare": {"median": 0.02, "low": 0.019, "high": 0.021},
        "ours_peak": 300 * 2**20,
        "bare_peak": 310 * 2**20,
        "goal": 1.0,
    }
]
_TRAINING = [
    {
        "place": "local",
        "size_bytes": 156_000_000,
        "ratio": made_ratio(1.05, 1.01, 1.08),
        "ours": {"median": 0.105, "low": 0.1, "high": 0.11},
        "bare": {"median": 0.1, "low": 0.09, "high": 0.11},
        "pause": {"median": 0.01, "low": 0.009, "high": 0.011},
        "writing": {"median": 0.5, "low": 0.4, "high": 0.6},
        "updates": 40,
        "background": {"median": 0.2, "low": 0.1, "high": 0.3},
        "server": None,
        "goal": 1.1,
    }
]
SAVING = {"training": _TRAINING, "sizes": []}
RECOVERY = [
    {
        "case": {"what": "node", "noticing": {}, "goal": 30.0},
        "kills": 5,
        "seconds": {"median": 21.0, "low": 20.0, "high": 22.5},
        "stages": {"noticed": 14.0, **dict.fromkeys(WORKER_STAGES, 1.75), "total": 21.0},
    }
]
SECONDS = {"median": 0.02, "low": 0.01, "high": 0.03}
FEDERATED = {
    "clients": 100,
    "rounds": 12,
    "rows": [
        {
            "name": "ours, 2 actors",
            "round": SECONDS,
            "bare": made_ratio(0.5, 0.4, 0.6),
            "goal": federated.GOALS["ours, 2 actors, sequential"],
            "flower": made_ratio(0.03, 0.02, 0.05),
            "flower_goal": federated.FLOWER_GOAL,
            "start_s": 9.87,
            "accuracy": 0.9123,
        },
        {
            "name": "bare loop",
            "round": SECONDS,
            "bare": made_ratio(1.0, 1.0, 1.0),
            "goal": None,
            "flower": None,
            "flower_goal": None,
            "start_s": 2.0,
            "accuracy": 0.9,
        },
    ],
    "costs": [
        {
            "population": 1_000_000,
            "cohort": 100,
            "rounds": {"sequential": SECONDS},
            "start_s": {"sequential": 4.5},
        }
    ],
}
PATHS = [
    {
        "name": net.name,
        "ratio": made_ratio(1.02, 1.0, 1.04),
        "cpu": made_ratio(1.01, 1.0, 1.02),
        "ours": {"median": 0.102, "low": 0.1, "high": 0.11},
        "bare": {"median": 0.1, "low": 0.09, "high": 0.11},
        "goal": net.goal,
    }
    for net in paths.SUPERNETS[-2:]
]
