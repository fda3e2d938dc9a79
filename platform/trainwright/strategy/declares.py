"""What a strategy tells the platform about itself, checked before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

EngineName = Literal["deepspeed", "local"]


@dataclass(frozen=True, kw_only=True)
class Declares:
    """The needs and limits of one strategy class.

    Attributes:
        engines: engines on which the strategy is right.
        zero_stages: DeepSpeed ZeRO stages on which it is right.
        precisions: number formats in which it is right.
        probe: it only measures; with it the trajectory is bit-identical to one without.
        per_sample: it calls ``compute.per_sample``; the objective needs a per-sample form.
        sample_weights: its ``order`` or ``batch`` hook gives samples weights; the objective needs
            a per-sample form.
        full_gradients: it reads or writes gradients in its ``gradients`` hook.
        second_backward: it differentiates a gradient (``step.hvp``, ``create_graph=True``), which
            ZeRO stage 3 cannot do.
        several_forwards: it runs the model more than once for one micro-batch.
        unused_parameters: some parameters may get no gradient in an update.
        world_size_dependent: its numbers change with the number of workers.
        functional: it holds no state between updates, so batched clients may run it.
        conflicts: short names of strategies that cannot stand in the same job, with the reason.
        neutral: options at which training equals training without the strategy, bit for bit;
            None when there is no such setting.
    """

    engines: tuple[EngineName, ...] = ("deepspeed", "local")
    zero_stages: tuple[int, ...] = (0, 1, 2, 3)
    precisions: tuple[str, ...] = ("fp32", "bf16", "fp16")
    probe: bool = False
    per_sample: bool = False
    sample_weights: bool = False
    full_gradients: bool = False
    second_backward: bool = False
    several_forwards: bool = False
    unused_parameters: bool = False
    world_size_dependent: bool = False
    functional: bool = False
    conflicts: Mapping[str, str] = field(default_factory=dict)
    neutral: Mapping[str, Any] | None = None
