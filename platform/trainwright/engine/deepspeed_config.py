"""What DeepSpeed is told: the job's own section, and what the loop decides."""

from __future__ import annotations

import copy
from typing import Any

from trainwright.engine.base import EngineSettings


def clips_itself(settings: EngineSettings, stage: int) -> bool:
    """Whether the engine clips: there DeepSpeed clips too, but slowly and without the norm."""
    return stage == 0 and settings.precision == "fp32"


_BUCKETS = {
    1: {"reduce_bucket_size": 500_000_000, "allgather_bucket_size": 500_000_000},
    2: {"reduce_bucket_size": 500_000_000, "allgather_bucket_size": 500_000_000},
    3: {"reduce_bucket_size": 500_000_000, "stage3_prefetch_bucket_size": 50_000_000},
}


def deepspeed_config(settings: EngineSettings, numel: int) -> dict[str, Any]:
    """The configuration given to DeepSpeed: the job's own section and what the loop decides.

    Bucket sizes that the job leaves open are cut to the model's size; DeepSpeed's defaults
    reserve two gigabytes for a model of any size.
    """
    config: dict[str, Any] = copy.deepcopy(dict(settings.deepspeed or {}))
    zero = config.setdefault("zero_optimization", {})
    stage = zero.setdefault("stage", 0)
    whole_model = -(-max(numel, 1) // 1024) * 1024
    for key, limit in _BUCKETS.get(stage, {}).items():
        zero.setdefault(key, min(limit, whole_model))
    config.update(
        train_micro_batch_size_per_gpu=1,
        gradient_accumulation_steps=1,
        gradient_clipping=0.0 if clips_itself(settings, stage) else settings.max_grad_norm or 0.0,
        zero_allow_untested_optimizer=True,
        steps_per_print=None,
    )
    config.setdefault("wall_clock_breakdown", False)
    if settings.precision != "fp32":
        config[settings.precision] = {"enabled": True}
        if stage > 1:
            # Micro-batches are added up in float32; the weights' own format loses digits. At
            # stage 1 this would choose another optimizer, which adds them up wrongly.
            config.setdefault("data_types", {"grad_accum_dtype": "fp32"})
    return config
