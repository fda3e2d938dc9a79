"""Running statistics over the workers, and values from worker 0."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from trainwright.training.statistics import averaged_statistics, shared_statistics, statistics_of


def _model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(3, 4), nn.BatchNorm1d(4), nn.BatchNorm1d(4, track_running_stats=False)
    )


def test_only_running_statistics_count() -> None:
    assert set(statistics_of(_model())) == {"1.running_mean", "1.running_var"}


def _exchange() -> dict[str, Any]:
    import torch.distributed as dist

    rank = dist.get_rank()
    model, device = _model(), torch.device("cpu")
    model[1].running_mean.fill_(float(rank))
    average = averaged_statistics(model, device)["1.running_mean"].clone()
    untouched = model[1].running_mean.clone()
    with shared_statistics(model, device):
        inside = model[1].running_mean.clone()
    return {
        "average": average,
        "before": untouched,
        "inside": inside,
        "after": model[1].running_mean,
    }


def test_evaluation_sees_the_average_and_training_its_own(two_workers: Any) -> None:
    for rank, result in enumerate(two_workers.run(_exchange)):
        assert torch.equal(result["average"], torch.full((4,), 0.5))
        assert torch.equal(result["inside"], result["average"])
        assert torch.equal(result["before"], torch.full((4,), float(rank)))
        assert torch.equal(result["after"], result["before"])


def _broadcast() -> Any:
    import torch.distributed as dist

    from trainwright.collectives import from_rank_zero, sum_over_workers

    rank = dist.get_rank()
    total = sum_over_workers(torch.tensor([1.0 + rank, 0.1]), torch.device("cpu"))
    return from_rank_zero({"attempt": 3} if rank == 0 else None), total


def test_values_travel(two_workers: Any) -> None:
    for value, total in two_workers.run(_broadcast):
        assert value == {"attempt": 3}
        assert total.dtype == torch.float64
        assert total[0] == 3.0
