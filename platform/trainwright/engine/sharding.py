"""Weights of a module that was built without them, cut up as they are made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from trainwright.engine.base import PRECISIONS, EngineSettings
from trainwright.engine.deferred import Deferred


@torch.no_grad()
def shard(
    module: nn.Module, deferred: Deferred, config: Mapping[str, Any], settings: EngineSettings
) -> None:
    """Make one parameter after another, and keep this worker's part of each (a collective).

    Worker 0's values are everybody's. Buffers, which are whole everywhere, go to the device.

    Args:
        module: what is to be trained.
        deferred: inside which it was built.
        config: DeepSpeed's configuration, at stage 3.
        settings: precision and device.
    """
    import deepspeed

    dtype = PRECISIONS[settings.precision]
    first: Any = None
    for parameter in module.parameters():
        deferred.make(parameter)
        if parameter.is_floating_point():
            parameter.data = parameter.data.to(dtype)
        if first is None:
            deepspeed.zero.Init(
                module=nn.ParameterList([parameter]), config_dict_or_path=dict(config)
            )
            first = parameter
        else:
            first.convert_to_zero_parameters(param_list=[parameter])
    for buffer in module.buffers():
        buffer.data = buffer.data.to(settings.device)
