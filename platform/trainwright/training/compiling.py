"""``training.compile``: the model by ``torch.compile``."""

from __future__ import annotations

import torch
from torch import nn

from trainwright.errors import JobError, Problem
from trainwright.job.compile_spec import CompileSpec


def compile_model(model: nn.Module, spec: CompileSpec, device: torch.device) -> None:
    """Let a model be compiled when it is first called, and again for other sizes or modes.

    It is compiled in place: names and copies of it, and so checkpoints, are those of the model.

    Args:
        model: any module.
        spec: how.
        device: where it trains.

    Raises:
        JobError: nothing here can compile it.
    """
    from torch._dynamo import config

    if spec.backend == "inductor" and device.type == "cpu":
        _needs_a_compiler()
    # Otherwise hooks that come and go, as a probe's do, are not noticed once there is a program.
    config.skip_nnmodule_hook_guards = False
    model.compile(backend=spec.backend, mode=spec.mode, dynamic=spec.dynamic)


def _needs_a_compiler() -> None:
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as error:
        problem = Problem(
            "training.compile",
            "inductor writes C++ for CPUs, and there is no compiler on this machine",
            True,
            mend="install g++ where workers run (CXX names another one), or leave out "
            "training.compile",
        )
        raise JobError(problem) from error
