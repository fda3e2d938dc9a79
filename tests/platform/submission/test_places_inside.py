"""Places in the jobs that a job of another kind consists of."""

from __future__ import annotations

from pathlib import Path

import pytest
from packed_jobs import PROCEDURE, write

from trainwright.job import Job
from trainwright.submission.parts import parts_of
from trainwright.submission.places import settle
from trainwright.submission.site import Site

SHARED = Site(shares_disk=True)
PODS = Site(mounts=("/data",), secrets=frozenset())

COMPARE = """\
kind: compare
name: pair
seeds: 1
storage: s3://b/r
cluster: {workers: 0}
tracking: {enabled: false}
base:
  data: {source: a.csv, columns: {x: {type: value}}}
  model: {name: mlp}
  objective: mse
variants:
  baseline:
  dotted: {data.source: b.csv}
  nested: {data: {source: c.csv}}
  weights: {model: {weights: w.safetensors}}
"""
SWEEP = """\
kind: sweep
name: swept
storage: s3://b/r
tracking: {enabled: false}
base:
  data: {source: a.csv, columns: {x: {type: value}}}
  model: {name: mlp}
  objective: mse
space:
  data.source: {choice: [b.csv, s3://b/c.csv]}
  model.weights: {choice: [null, w.safetensors]}
  data.validation: {choice: [0.2, {source: v.csv}]}
transfer: {data.test.source: t.csv}
"""
RUNS = """\
kind: procedure
name: looking
storage: s3://b/r
tracking: {enabled: false}
procedure: {name: looks.py:Look}
runs:
  one:
    data: {source: a.csv, columns: {x: {type: value}}}
    model: {name: mlp}
    objective: mse
    storage: elsewhere
"""


@pytest.mark.parametrize(
    ("text", "places"),
    [
        (
            COMPARE,
            {
                "base.data.source": "a.csv",
                "variants.dotted.data.source": "b.csv",
                "variants.nested.data.source": "c.csv",
                "variants.weights.model.weights": "w.safetensors",
            },
        ),
        (
            SWEEP,
            {
                "space.data.source.choice.0": "b.csv",
                "space.model.weights.choice.1": "w.safetensors",
                "space.data.validation.choice.1.source": "v.csv",
                "transfer.data.test.source": "t.csv",
            },
        ),
        (RUNS, {"runs.one.data.source": "a.csv", "runs.one.storage": "elsewhere"}),
    ],
    ids=["compare", "sweep", "procedure"],
)
def test_places_of_the_jobs_inside_a_job(text: str, places: dict[str, str], tmp_path: Path) -> None:
    write(tmp_path, {"looks.py": PROCEDURE})
    job = Job.load(write(tmp_path, {"job.yaml": text}))
    found = settle(job, parts_of(job), PODS)
    assert {problem.path: problem.got for problem in found.problems} == places
    changes = settle(job, parts_of(job), SHARED).overrides
    job = Job.load(tmp_path / "job.yaml", changes)
    again = settle(job, parts_of(job), SHARED)
    assert again.changes == {"cluster.address": "auto"}  # all are absolute now
