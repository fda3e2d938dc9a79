"""The part of DeepSpeed's configuration that a job may say, for checking before anything starts.

DeepSpeed itself ignores keys that it does not know, so a slip would change a run in silence.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from trainwright.job.plugin_spec import Section


def _whole(value: Any) -> Any:
    """DeepSpeed's own examples write sizes as ``5e8``."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Size = Annotated[int, Field(ge=0), BeforeValidator(_whole)]
PositiveSize = Annotated[int, Field(gt=0), BeforeValidator(_whole)]
Share = Annotated[float, Field(ge=0, le=1)]
Settings = dict[str, Any]
"""A section whose keys are left to DeepSpeed."""


class OffloadParameters(Section):
    """Where parameters wait while they are not in use (stage 3)."""

    device: Literal["none", "cpu", "nvme"] = "none"
    nvme_path: str | None = None
    buffer_count: Size = 5
    buffer_size: Size = 100_000_000
    max_in_cpu: Size = 1_000_000_000
    pin_memory: bool = True


class OffloadOptimizer(Section):
    """Where the optimizer's state is kept (stages 1 to 3)."""

    device: Literal["none", "cpu", "nvme"] = "none"
    nvme_path: str | None = None
    buffer_count: Size = 4
    pin_memory: bool = True
    pipeline_read: bool = False
    pipeline_write: bool = False
    fast_init: bool = False
    ratio: Share = 1.0
    super_offload: bool = False
    cpuadam_cores_perc: Share = 0.8


class LeafModules(Section):
    """Modules that stage 3 fetches whole."""

    classes: list[str] = Field(default_factory=list)
    names: list[str] = Field(default_factory=list)
    name_suffixes: list[str] = Field(default_factory=list)


class ZeroOptimization(Section):
    """How optimizer state, gradients and parameters are shared by the workers."""

    stage: Annotated[int, Field(ge=0, le=3)] = 0
    contiguous_gradients: bool = True
    reduce_scatter: bool = True
    reduce_bucket_size: PositiveSize = 500_000_000
    use_multi_rank_bucket_allreduce: bool = True
    allgather_partitions: bool = True
    allgather_bucket_size: Size = 500_000_000
    overlap_comm: bool | None = None
    compute_grad_norm: bool = True
    load_from_fp32_weights: bool = True
    offload_param: OffloadParameters | None = None
    offload_optimizer: OffloadOptimizer | None = None
    zenflow: Settings | None = None
    sub_group_size: Size = 1_000_000_000
    stage3_prefetch_bucket_size: Size = 50_000_000
    stage3_param_persistence_threshold: Size = 100_000
    stage3_model_persistence_threshold: Size = 9_223_372_036_854_775_807
    stage3_max_live_parameters: Size = 1_000_000_000
    stage3_max_reuse_distance: Size = 1_000_000_000
    stage3_gather_16bit_weights_on_model_save: bool = False
    stage3_module_granularity_threshold: Size = 0
    stage3_use_all_reduce_for_fetch_params: bool = False
    stage3_allgather_sequential: bool = False
    ignore_unused_parameters: bool = True
    round_robin_gradients: bool = False
    parameter_alignment: bool = False
    zero_hpz_partition_size: Size = 1
    zero_quantized_weights: bool = False
    zero_quantized_nontrainable_weights: bool = False
    zero_quantized_gradients: bool = False
    memory_efficient_linear: bool = True
    override_module_apply: bool = True
    log_trace_cache_warnings: bool = False
    enable_sanity_checks: bool = False
    save_muon_momentum_buffer_in_memory: bool = False
    leaf_module: LeafModules = LeafModules()


class ActivationCheckpointing(Section):
    """Settings of DeepSpeed's own activation checkpointing function."""

    partition_activations: bool = False
    number_checkpoints: Size | None = None
    contiguous_memory_optimization: bool = False
    cpu_checkpointing: bool = False
    profile: bool = False
    synchronize_checkpoint_boundary: bool = False


class FlopsProfiler(Section):
    """DeepSpeed's count of operations."""

    enabled: bool = False
    recompute_fwd_factor: float = 0.0
    profile_step: Size = 1
    module_depth: int = -1
    top_modules: Size = 1
    detailed: bool = True
    output_file: str | None = None


class CommsLogger(Section):
    """DeepSpeed's log of collectives."""

    enabled: bool = False
    prof_all: bool = True
    prof_ops: list[str] = Field(default_factory=list)
    verbose: bool = False
    debug: bool = False


class DeepSpeed(Section):
    """DeepSpeed's configuration, without what other parts of a job decide."""

    zero_optimization: ZeroOptimization = Field(
        default_factory=ZeroOptimization,
        description="ZeRO: how state, gradients and parameters are shared by the workers",
    )
    activation_checkpointing: ActivationCheckpointing = ActivationCheckpointing()
    aio: Settings = Field(default_factory=dict)
    comms_logger: CommsLogger = CommsLogger()
    communication_data_type: Literal["fp32", "fp16", "bf16"] | None = None
    compile: Settings = Field(default_factory=dict)
    disable_allgather: bool = False
    disable_python_gc: bool = False
    dump_state: bool = False
    flops_profiler: FlopsProfiler = FlopsProfiler()
    gradient_predivide_factor: Annotated[float, Field(gt=0)] = 1.0
    log_level: Literal["debug", "info", "warning", "error", "critical"] | None = None
    memory_breakdown: bool = False
    prescale_gradients: bool = False
    timers: Settings = Field(default_factory=dict)
    wall_clock_breakdown: bool = False
    zero_allow_untested_optimizer: bool = True
    zero_force_ds_cpu_optimizer: bool = False


OWNED: dict[str, str] = {
    "train_batch_size": "data.batch_size",
    "train_micro_batch_size_per_gpu": "training.micro_batch_size",
    "gradient_accumulation_steps": "training.micro_batch_size",
    "managed_gradient_accumulation": "training.micro_batch_size",
    "gradient_clipping": "training.max_grad_norm",
    "fp16": "training.precision",
    "bf16": "training.precision",
    "bfloat16": "training.precision",
    "amp": "training.precision",
    "data_types": "training.precision",
    "torch_autocast": "training.precision",
    "optimizer": "optimizer",
    "scheduler": "schedule",
    "dataloader_drop_last": "data.batch_size",
    "steps_per_print": "tracking",
    "tensorboard": "tracking",
    "wandb": "tracking",
    "comet": "tracking",
    "csv_monitor": "tracking",
    "monitor_config": "tracking",
    "checkpoint": "training.checkpoint_every",
    "seed": "seed",
    "local_rank": "cluster.workers",
    "elasticity": "cluster.workers",
}
"""DeepSpeed key -> the key of the job that decides it."""

UNSUPPORTED: dict[str, str] = {
    "autotuning": "it starts jobs of its own",
    "compression_training": "it changes the model behind the checkpoint",
    "curriculum_learning": "the order of samples is decided by the job",
    "data_efficiency": "the order of samples is decided by the job",
    "datastates": "checkpoints are written by the loop",
    "expert_parallel": "expert parallelism is out of scope",
    "gradient_allreduce_op": "the loop averages over the global batch",
    "hybrid_engine": "it is for generation",
    "pipeline": "pipeline parallelism is out of scope",
    "progressive_layer_drop": "it changes the model's forward",
    "quantize_training": "it changes the model behind the checkpoint",
    "eigenvalue": "it changes the model behind the checkpoint",
    "sparse_attention": "it is for one model of DeepSpeed's",
    "sparse_gradients": "gradients are dense",
    "tensor_parallel": "tensor parallelism is out of scope",
    "weight_quantization": "it changes the model behind the checkpoint",
}
"""DeepSpeed key -> why the loop cannot work with it."""
