"""A bare Ray Train + DeepSpeed script: what launch.yaml says, written by hand.

It does the least that trains: nothing is checked, tracked, evaluated or saved. Ray's settings are
those that Trainwright uses (no dashboard, workers looked at every 0.2 s, nobody who waits for
nodes to go), since they save seconds here too, DeepSpeed's shared-memory operator is not compiled,
and the digits are read without scikit-learn, as ours are.

    python -m launch.bare STAMPS_FILE
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("DS_ACCELERATOR", "cpu")

import numpy as np
import ray
import ray.train
import torch
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer
from torch import nn

from launch.stamps import stamp, stamp_ray

CONFIG = {
    "train_micro_batch_size_per_gpu": 64,
    "gradient_accumulation_steps": 1,
    "zero_optimization": {
        "stage": 2,
        "reduce_bucket_size": 65536,
        "allgather_bucket_size": 65536,
    },
    "zero_allow_untested_optimizer": True,
}


def network(width: int = 32) -> nn.Module:
    """The convolutional network of launch.yaml."""
    layers: list[nn.Module] = []
    channels = 1
    for size, stride in ((width, 1), (2 * width, 2), (2 * width, 2)):
        layers += [nn.Conv2d(channels, size, 3, stride, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(size), nn.ReLU()]
        channels = size
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3), nn.Linear(channels, 10)]
    return nn.Sequential(*layers, *head)


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """Images (n, 1, 8, 8) and targets (n,)."""
    package = find_spec("sklearn")
    assert package is not None
    assert package.origin is not None
    file = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    rows = torch.from_numpy(np.loadtxt(file, delimiter=","))
    return rows[:, :-1].reshape(-1, 1, 8, 8).float() / 16, rows[:, -1].long()


def train(config: dict[str, str]) -> None:
    """One epoch on each worker's half of the digits."""
    import deepspeed  # here and not above: the driver needs neither

    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    images, targets = digits()
    if rank == 0:
        had_data = time.time()
        stamp_ray(config["file"])
        stamp(config["file"], "data", had_data)
    # By this name, for Ray would take `ops` in the code for `torch.ops` and fail to send that.
    import_module("deepspeed.ops").__compatible_ops__["deepspeed_shm_comm"] = False
    torch.manual_seed(0)
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=CONFIG)
    if rank == 0:
        stamp(config["file"], "engine")
    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(0))
    for number, rows in enumerate(order[rank::world].split(64)):
        loss = nn.functional.cross_entropy(engine(images[rows]), targets[rows])
        engine.backward(loss)
        engine.step()
        if rank == 0 and number == 0:
            stamp(config["file"], "update")


def main(file: str) -> None:
    """Train on two workers of a Ray of its own."""
    stamp(file, "driver")
    ray.init(address="local", include_dashboard=False, log_to_driver=False)
    with tempfile.TemporaryDirectory() as storage:
        TorchTrainer(
            train,
            train_loop_config={"file": file},
            scaling_config=ScalingConfig(num_workers=2, resources_per_worker={"CPU": 0.5}),
            run_config=RunConfig(name="bare", storage_path=storage),
        ).fit()
    ray.shutdown()


if __name__ == "__main__":
    main(sys.argv[1])
