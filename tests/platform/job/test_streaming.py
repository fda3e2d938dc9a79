"""The forms of ``data.streaming``, and what of it counts in a run's name."""

from __future__ import annotations

from typing import Any

import pytest

from trainwright.errors import JobError
from trainwright.job import Job
from trainwright.job.identity import essentials
from trainwright.job.models import DataSpec
from trainwright.job.streaming_rules import workers_that_cannot_read
from trainwright.job.streaming_spec import StreamingSpec

DATA = {"source": "a.parquet", "columns": {"x": {"type": "vector"}, "y": {"type": "value"}}}


def job(streaming: Any, **override: Any) -> Job:
    data = {**DATA, "streaming": streaming}
    return Job.from_dict({"name": "x", "data": data, "model": "mlp", "objective": "mse"})


@pytest.mark.parametrize("streaming", [True, {}, {"memory_mib": 7}, {"retries": 0}])
def test_true_stands_for_the_defaults_and_some_options_change_no_number(streaming: Any) -> None:
    spec = job(streaming).spec.data.streaming
    assert spec is not None
    assert (spec.shards, spec.window) == (48, None)
    assert essentials(job(streaming)) == essentials(job(True))


@pytest.mark.parametrize("streaming", [False, None, {"shards": 24}, {"window": 480}])
def test_others_do(streaming: Any) -> None:
    assert essentials(job(streaming)) != essentials(job(True))


def test_a_wrong_form_says_what_is_right() -> None:
    with pytest.raises(JobError) as caught:
        job("yes")
    (problem,) = caught.value.problems
    assert problem.path == "data.streaming"
    assert problem.allowed is not None
    assert problem.allowed.startswith("true or false, or a section with the keys shards, window")


def test_a_misspelt_option_names_the_nearest() -> None:
    with pytest.raises(JobError) as caught:
        job({"shard": 4})
    (problem,) = caught.value.problems
    assert (problem.path, problem.nearest) == ("data.streaming.shard", "shards")


def test_every_number_of_workers_is_asked_about() -> None:
    data = DataSpec.model_validate({**DATA, "streaming": StreamingSpec(shards=12)})
    assert workers_that_cannot_read(data, [0, 1, 2, 3, 4, 6, 12]) == []
    [problem] = workers_that_cannot_read(data, range(1, 6))
    assert "12 shards cannot be shared evenly by 5 workers" in problem.message
    assert problem.allowed == "a multiple of 60"
    assert problem.mend == "or set cluster.workers to one of 1, 2, 3, 4, 6, 12"
    assert workers_that_cannot_read(DataSpec.model_validate(DATA), [5]) == []
