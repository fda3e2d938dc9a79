"""Strategies predict and evaluate alike on every engine and number of workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import averaging
import pytest
import torch
from torch import Tensor, nn

from trainwright.data.table import Table
from trainwright.data.transforms import TransformChain
from trainwright.engine import EngineSettings, NamedModel, TrainModule
from trainwright.engine.local import LocalEngine
from trainwright.errors import RunError
from trainwright.objective import Term, WeightedSum
from trainwright.strategy import Context, Evaluation, Strategy
from trainwright.training.evaluate import Evaluator


def _metrics(
    folder: str, stage: int | None, split: str = "train", further: bool = False
) -> dict[str, float]:
    """Runs on every worker: the metrics of a short run."""
    import torch.distributed as dist

    from trainwright.job import Job
    from trainwright.training.worker import WorkOrder, work

    values: dict[str, Any] = {
        "name": "hooks",
        "data": {
            "source": {"name": "synthetic_classification", "num_samples": 96, "noise": 3.0},
            "validation": 0.32 if further else 0.27,
            "batch_size": 32,
        },
        "model": {"name": "mlp", "hidden": [16]},
        "objective": "cross_entropy",
        "strategies": [{"name": "averaging.py:FurtherPasses"}]
        if further
        else [
            {"name": "averaging.py:TestTimeAverage"},
            {"name": "averaging.py:RightAnswers", "split": split},
        ],
        "training": {"epochs": 2, "evaluation_batch_size": 5},
        "metrics": ["accuracy"],
        "tracking": {"enabled": False},
        "cluster": {"workers": 0 if stage is None else dist.get_world_size()},
    }
    if stage is not None:
        values["deepspeed"] = {"zero_optimization": {"stage": stage}}
    job = Job.from_dict(values, base=folder)
    order = WorkOrder(job.spec.model_dump(mode="json"), folder, f"{folder}/run-{stage}")
    return dict(work(order, None).metrics)


@pytest.mark.parametrize("stage", [0, pytest.param(1, marks=pytest.mark.slow), 3])
def test_workers_evaluate_as_one_process(stage: int, two_workers: Any, tmp_path: Path) -> None:
    (tmp_path / "averaging.py").write_bytes(Path(averaging.__file__).read_bytes())
    alone = _metrics(str(tmp_path), None)
    assert alone.keys() == {
        "train/loss",
        "validation/loss",
        "validation/accuracy",
        "validation/agreement",
        "validation/right",
        "validation/samples",
    }
    assert alone["validation/samples"] == 70  # those of training, not the 26 held out
    assert 0.5 < alone["validation/agreement"] < 1.0
    for together in two_workers.run(_metrics, str(tmp_path), stage):
        assert {name: together[name] for name in alone if "validation" in name} == pytest.approx(
            {name: value for name, value in alone.items() if "validation" in name}, abs=1e-5
        )


class Elsewhere(Strategy):
    """Evaluates samples of its own, as they come from the data."""

    def evaluate(self, evaluation: Evaluation) -> dict[str, float]:
        return {"mean": float(evaluation.forward({"x": torch.ones(3, 4)})["logits"].mean())}


class Half(LocalEngine):
    """Weights in bfloat16, as DeepSpeed keeps them."""

    input_dtype = torch.bfloat16


class Square(nn.Module):
    def forward(self, logits: Tensor) -> Tensor:
        return logits.square().mean()


def test_a_batch_of_its_own_is_given_as_the_data_has_it() -> None:
    """In float32, while the model takes bfloat16."""
    model = nn.Linear(4, 2).bfloat16()
    terms = WeightedSum([Term(Square(), "square")])
    module = TrainModule(NamedModel(model, {"input": "x"}), terms)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    engine = Half(module, optimizer, EngineSettings())
    evaluator = Evaluator(engine, terms, [], TransformChain([]), 8, Context(seed=0), [Elsewhere()])
    table = Table.from_arrays({"x": torch.randn(5, 4)}, {"x": "vector"})
    expected = model(torch.ones(3, 4, dtype=torch.bfloat16)).mean().item()
    assert evaluator(table, "validation")["validation/mean"] == pytest.approx(expected, rel=1e-2)


def test_a_split_without_samples(tmp_path: Path) -> None:
    (tmp_path / "averaging.py").write_bytes(Path(averaging.__file__).read_bytes())
    with pytest.raises(RunError, match="there are no samples of the split 'test' to evaluate"):
        _metrics(str(tmp_path), None, split="test")


def test_passes_beside_those_of_evaluation_keep_step(two_workers: Any, tmp_path: Path) -> None:
    """Of 31 samples in batches of 5 one worker has four batches and the other has three."""
    (tmp_path / "averaging.py").write_bytes(Path(averaging.__file__).read_bytes())
    for found in two_workers.run(_metrics, str(tmp_path), 3, "train", True):
        assert (found["validation/passes"], found["validation/samples"]) == (8, 31)
