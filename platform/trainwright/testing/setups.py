"""On what a check trains: engine, ZeRO stage, number of workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trainwright.strategy.declares import EngineName

_RELEASING = {
    "stage3_param_persistence_threshold": 0,
    "stage3_max_live_parameters": 0,
    "stage3_max_reuse_distance": 0,
}
"""Stage 3 keeps small weights whole: without this no test would see them gathered and released."""


@dataclass(frozen=True)
class Setup:
    """One way to run a job.

    Attributes:
        engine: ``deepspeed`` or ``local``.
        stage: ZeRO stage, 0 to 3; for DeepSpeed.
        workers: processes; the local engine has one, the calling process itself.
    """

    engine: EngineName = "local"
    stage: int = 0
    workers: int = 1

    def __post_init__(self) -> None:
        if self.engine == "local" and (self.stage, self.workers) != (0, 1):
            raise ValueError("the local engine has one worker and no ZeRO stage")

    def sections(self) -> dict[str, Any]:
        """The sections of a job that say so."""
        if self.engine == "local":
            return {"engine": "local", "cluster": {"workers": 0}}
        return {
            "engine": "deepspeed",
            "deepspeed": {"zero_optimization": {"stage": self.stage, **_RELEASING}},
            "cluster": {"workers": self.workers, "cpus_per_worker": 0.1},
        }

    def __str__(self) -> str:
        return "local" if self.engine == "local" else f"zero{self.stage}x{self.workers}"


LOCAL = Setup()
"""Plain PyTorch in the calling process."""
