"""``training.compile``: the same training, by a model that torch.compile has compiled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from trainwright.errors import JobError
from trainwright.job.compile_spec import CompileSpec
from trainwright.testing import Rig, Setup
from trainwright.testing.rig import LOCAL
from trainwright.training.compiling import compile_model

JOB: dict[str, Any] = {
    "name": "compiled",
    "data": {"source": "digits", "batch_size": 300, "validation": 0.3},
    "model": {"name": "mlp", "hidden": [12]},
    "objective": "cross_entropy",
    "optimizer": {"name": "adamw", "lr": 0.01},
    "metrics": ["accuracy"],
}


def job(compiled: Any, **training: Any) -> dict[str, Any]:
    return {**JOB, "training": {"epochs": 2, "compile": compiled, **training}}


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, two_workers: Any) -> Iterator[Rig]:
    with Rig(tmp_path_factory.mktemp("compiled"), {2: two_workers}) as rig:
        yield rig


def same(rig: Rig, compiled: Any, setup: Setup = LOCAL, **training: Any) -> None:
    plain, ours = (rig.train(job(c, **training), setup) for c in (False, compiled))
    assert ours.url != plain.url
    assert ours.metrics == pytest.approx(plain.metrics, rel=1e-4, abs=1e-6)
    assert ours.tensors.keys() == plain.tensors.keys(), "checkpoints name tensors as ever"
    for name, value in plain.tensors.items():
        torch.testing.assert_close(ours.tensors[name], value, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_training_in_process(backend: str, rig: Rig) -> None:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    same(rig, {"backend": backend})
    assert torch._dynamo.utils.counters["frames"]["ok"] > 0


def test_hooks_that_come_and_go_are_met(rig: Rig) -> None:
    """A probe listens to a layer in each evaluation, and is another object each time."""
    probed = {"strategies": [{"name": "neural_collapse"}]}
    jobs = [{**job(c, epochs=3), **probed} for c in (False, {"backend": "eager"})]
    plain, ours = map(rig.train, jobs)
    assert len(plain.metrics) > len(rig.train(job(False, epochs=3)).metrics)
    assert ours.metrics == pytest.approx(plain.metrics, rel=1e-4, abs=1e-6)


def test_training_by_deepspeed(rig: Rig) -> None:
    same(rig, {"backend": "aot_eager"}, Setup("deepspeed", 2, 2))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_training_by_what_inductor_makes(precision: str, rig: Rig) -> None:
    if precision == "fp32":
        same(rig, True)
        return
    plain, ours = (rig.train(job(c, precision="bf16")) for c in (False, True))
    assert ours.metrics == pytest.approx(plain.metrics, rel=0.05, abs=0.02)


def test_the_model_is_compiled_in_place() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    names = list(model.state_dict())
    compile_model(model, CompileSpec(backend="eager"), torch.device("cpu"))
    assert list(model.state_dict()) == names
    assert type(model) is nn.Sequential
    x = torch.randn(4, 2)
    assert model(x).equal(model.forward(x))


def test_no_compiler_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import cpp_builder
    from torch._inductor.exc import InvalidCxxCompiler

    def missing(*arguments: Any) -> str:
        raise InvalidCxxCompiler

    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", missing)
    compile_model(nn.Linear(1, 1), CompileSpec(backend="eager"), torch.device("cpu"))
    with pytest.raises(JobError, match=r"training.compile.*no compiler(.|\n)*install g\+\+"):
        compile_model(nn.Linear(1, 1), CompileSpec(), torch.device("cpu"))


def test_what_differentiates_gradients_is_refused(rig: Rig) -> None:
    hvp = {**job(True), "strategies": [{"name": "sharpness"}]}
    with pytest.raises(JobError, match=r"leave out training\.compile"):
        rig.prepare(hvp)
