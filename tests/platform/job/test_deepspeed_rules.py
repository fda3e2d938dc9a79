from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path

import pytest

from trainwright.errors import JobError, Problem
from trainwright.job import Job
from trainwright.job.deepspeed import (
    OWNED,
    UNSUPPORTED,
    ActivationCheckpointing,
    CommsLogger,
    DeepSpeed,
    FlopsProfiler,
    OffloadOptimizer,
    OffloadParameters,
    ZeroOptimization,
)
from trainwright.job.models import TrainJob

MINIMAL = {"name": "x", "data": {"source": "digits"}, "model": "mlp", "objective": "mse"}


def refused(deepspeed: dict) -> list[Problem]:
    with pytest.raises(JobError) as caught:
        Job.from_dict({**MINIMAL, "deepspeed": deepspeed})
    return caught.value.problems


@pytest.mark.parametrize("key", OWNED)
def test_what_the_job_decides_is_named(key):
    (problem,) = refused({key: 1})
    assert problem.path == f"deepspeed.{key}"
    assert OWNED[key] in problem.message
    assert problem.nearest == OWNED[key]


def test_the_deciding_keys_exist():
    for path in OWNED.values():
        model = TrainJob
        for key in path.split("."):
            assert key in model.model_fields, path
            model = model.model_fields[key].annotation


@pytest.mark.parametrize("key", UNSUPPORTED)
def test_what_would_run_beside_the_loop_is_refused_with_the_reason(key):
    (problem,) = refused({key: {"enabled": True}})
    assert problem.path == f"deepspeed.{key}"
    assert UNSUPPORTED[key] in problem.message


@pytest.mark.parametrize(
    ("deepspeed", "path", "nearest"),
    [
        ({"zero_optimisation": {"stage": 2}}, "zero_optimisation", "zero_optimization"),
        ({"gradient_cliping": 1.0}, "gradient_cliping", "gradient_clipping"),
        ({"train_batchsize": 8}, "train_batchsize", "train_batch_size"),
        ({"wall_clok_breakdown": True}, "wall_clok_breakdown", "wall_clock_breakdown"),
        ({"zero_optimization": {"stge": 2}}, "zero_optimization.stge", "stage"),
        (
            {"zero_optimization": {"stage": 1, "offload_optimizer": {"devise": "cpu"}}},
            "zero_optimization.offload_optimizer.devise",
            "device",
        ),
        (
            {"zero_optimization": {"stage": 1, "offload_optimizer": {"device": "cpuu"}}},
            "zero_optimization.offload_optimizer.device",
            "cpu",
        ),
        ({"nonsense": 1}, "nonsense", None),
        ({"zero_optimization": {"stage": 4}}, "zero_optimization.stage", None),
        ({"zero_optimization": {"stage": -1}}, "zero_optimization.stage", None),
        ({"zero_optimization": {"stage": "2"}}, "zero_optimization.stage", None),
        ({"zero_optimization": {"stage": 2.0}}, "zero_optimization.stage", None),
        ({"zero_optimization": {"stage": True}}, "zero_optimization.stage", None),
        ({"zero_optimization": 2}, "zero_optimization", None),
        ({"zero_optimization": None}, "zero_optimization", None),
        ({"zero_optimization": {"overlap_comm": "no"}}, "zero_optimization.overlap_comm", None),
        (
            {"zero_optimization": {"reduce_bucket_size": 1.5}},
            "zero_optimization.reduce_bucket_size",
            None,
        ),
        (
            {"zero_optimization": {"reduce_bucket_size": 0}},
            "zero_optimization.reduce_bucket_size",
            None,
        ),
        ({"communication_data_type": "fp31"}, "communication_data_type", "fp32"),
    ],
)
def test_misspelt_keys_and_wrong_values(deepspeed, path, nearest):
    (problem,) = refused(deepspeed)
    assert problem.path == f"deepspeed.{path}"
    assert problem.nearest == nearest


def test_several_mistakes():
    problems = refused({"fp16": {}, "pipeline": {}, "nonsense": 1, "zero_optimization": {"x": 1}})
    assert {problem.path.removeprefix("deepspeed.") for problem in problems} == {
        "fp16",
        "pipeline",
        "nonsense",
        "zero_optimization.x",
    }


class TestAgainstTheInstalledDeepSpeed:
    """The keys written down here are those of DeepSpeed's source, read without importing it."""

    @pytest.fixture
    def root(self) -> Path:
        spec = importlib.util.find_spec("deepspeed")
        if spec is None or spec.origin is None:
            pytest.skip("DeepSpeed is not installed here")
        return Path(spec.origin).parent

    def fields(self, file: Path, name: str) -> set[str]:
        """Keys of a pydantic class: the alias of a field where it has one, deprecated ones not."""
        tree = ast.parse(file.read_text())
        (found,) = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == name]
        keys = set()
        for node in found.body:
            if isinstance(node, ast.AnnAssign):
                given = node.value.keywords if isinstance(node.value, ast.Call) else []
                options = {k.arg: k.value for k in given}
                if not {"deprecated", "json_schema_extra"} & set(options):
                    alias = options.get("alias")
                    keys.add(alias.value if alias else node.target.id)
        return keys

    def test_zero(self, root):
        config = root / "runtime/zero/config.py"
        left_out = {"elastic_checkpoint", "legacy_stage1", "pipeline_loading_checkpoint"}
        assert self.fields(config, "DeepSpeedZeroConfig") - left_out == set(
            ZeroOptimization.model_fields
        )

    def test_offloading(self, root):
        config = root / "runtime/zero/offload_config.py"
        assert self.fields(config, "DeepSpeedZeroOffloadParamConfig") == set(
            OffloadParameters.model_fields
        )
        assert self.fields(config, "DeepSpeedZeroOffloadOptimizerConfig") == set(
            OffloadOptimizer.model_fields
        )

    def test_sections_that_are_read_by_name(self, root):
        text = "".join(
            (root / name).read_text()
            for name in (
                "runtime/activation_checkpointing/config.py",
                "profiling/constants.py",
                "comm/config.py",
            )
        )
        for model in (ActivationCheckpointing, FlopsProfiler, CommsLogger):
            missing = [key for key in model.model_fields if key not in text]
            assert not missing, model.__name__

    def test_top_level_keys_are_sorted_into_one_of_three_kinds(self, root):
        known = {*DeepSpeed.model_fields, *OWNED, *UNSUPPORTED}
        assert not set(DeepSpeed.model_fields) & {*OWNED, *UNSUPPORTED}
        text = (root / "runtime/config.py").read_text()
        constants = ast.parse((root / "runtime/constants.py").read_text())
        named = {
            node.targets[0].id: node.value.value
            for node in constants.body
            if isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        }
        read = set(re.findall(r"get_scalar_param\(param_dict, ([A-Z_0-9]+)", text))
        internal = {"use_data_before_expert_parallelism", "seq_parallel_communication_data_type"}
        assert {named[name] for name in read if name in named} - internal <= known
