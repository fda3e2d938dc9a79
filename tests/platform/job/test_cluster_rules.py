"""Rules on where and on how many workers a job trains."""

from __future__ import annotations

from typing import Any

import pytest

from trainwright.errors import JobError
from trainwright.job import Job
from trainwright.job.cluster_rules import CLUSTER_RULES
from trainwright.job.models import TrainJob

MINIMAL = {
    "name": "x",
    "data": {"source": "digits", "batch_size": 8},
    "model": "mlp",
    "objective": "mse",
}
PARTITIONS = {"zero_optimization": {"stage": 3, "zero_hpz_partition_size": 2}}
COLUMNS = {"image": {"type": "image", "shape": [1, 8, 8]}}
STREAMED = {
    "source": "a.parquet",
    "columns": COLUMNS,
    "batch_size": 8,
    "streaming": {"shards": 6},
}


@pytest.mark.parametrize(
    "sections",
    [
        {"cluster": {"workers": [1, 8]}},
        {"cluster": {"workers": [2, 2]}, "training": {"deterministic": True}},
        {"engine": "local", "cluster": {"workers": [1, 1]}},
        {"data": STREAMED, "cluster": {"workers": [1, 3]}},
        {"deepspeed": PARTITIONS, "cluster": {"workers": 4}},
        {"deepspeed": PARTITIONS, "cluster": {"workers": [2, 2]}},
    ],
)
def test_what_is_kept(sections: dict[str, Any]) -> None:
    Job.from_dict({**MINIMAL, **sections})


BROKEN = [
    ({"cluster": {"address": "head:70000"}}, "cluster.address", "no port 70000"),
    ({"cluster": {"workers": [4, 1]}}, "cluster.workers", "more workers as the fewest"),
    (
        {"cluster": {"workers": [1, 2]}, "training": {"deterministic": True}},
        "training.deterministic",
        "a sum over 1 workers",
    ),
    ({"cluster": {"workers": [1, 9]}}, "data.batch_size", "there may be 9"),
    ({"cluster": {"workers": [1, 2]}, "engine": "local"}, "engine", "may be 2"),
    ({"cluster": {"workers": [1, 2]}, "storage": "memory://x"}, "storage", "workers cannot see"),
    (
        {
            "cluster": {"workers": [1, 2]},
            "data": {"source": "memory://a.csv", "columns": COLUMNS, "batch_size": 8},
        },
        "data.source",
        "workers cannot see",
    ),
    (
        {"cluster": {"workers": [1, 4]}, "data": STREAMED},
        "data.streaming.shards",
        "by 4 workers",
    ),
    (
        {"cluster": {"workers": [2, 4]}, "deepspeed": PARTITIONS},
        "deepspeed.zero_optimization.zero_hpz_partition_size",
        "there may be 3",
    ),
    (
        {"cluster": {"workers": 1}, "deepspeed": PARTITIONS},
        "deepspeed.zero_optimization.zero_hpz_partition_size",
        "there are 1",
    ),
]


@pytest.mark.parametrize(("sections", "path", "message"), BROKEN)
def test_what_is_refused(sections: dict[str, Any], path: str, message: str) -> None:
    with pytest.raises(JobError) as caught:
        Job.from_dict({**MINIMAL, **sections})
    (problem,) = caught.value.problems
    assert problem.path == path
    assert message in problem.message


def test_every_rule_is_broken_by_a_test() -> None:
    jobs = [TrainJob.model_validate({**MINIMAL, **sections}) for sections, _, _ in BROKEN]
    assert [rule for rule in CLUSTER_RULES if not any(map(rule, jobs))] == []
