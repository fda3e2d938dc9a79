"""Metrics that do not fit are refused; directions and names of those that do."""

from __future__ import annotations

import pytest
import torch
from metric_samples import FACTS

from trainwright.errors import PluginError
from trainwright.metrics import build_metric, higher_is_better
from trainwright.metrics.predictions import align, class_scores, whole_targets
from trainwright.plugins import short_names


def test_missing_target_names_what_there_is():
    metric = build_metric("mae", {}, facts={}, bind={"target": "lable"})
    with pytest.raises(PluginError) as raised:
        metric.update({"logits": torch.ones(2)}, {"label": torch.ones(2)})
    problem = raised.value.problems[0]
    assert problem.path == "metrics.bind.target"
    assert problem.nearest == "label"


def test_unknown_argument_in_bind_is_refused():
    with pytest.raises(PluginError, match="no such argument") as raised:
        build_metric("mae", {}, facts={}, bind={"pred": "logits"}, path="metrics.0")
    assert raised.value.problems[0].path == "metrics.0.bind.pred"


def test_class_metric_on_a_value_says_why():
    with pytest.raises(PluginError, match="no class column") as raised:
        build_metric("accuracy", {}, facts={"out_features": 1}, bind={})
    assert "mae" in raised.value.problems[0].mend


@pytest.mark.parametrize("name", ["confusion_matrix", "roc", "MulticlassConfusionMatrix"])
def test_curves_and_matrices_are_refused(name):
    with pytest.raises(PluginError, match="not a number"):
        build_metric(name, {}, facts=FACTS, bind={})
    assert name not in short_names("metrics")


def test_unknown_option_and_nearest_name():
    with pytest.raises(PluginError) as raised:
        build_metric("f1", {"averge": "micro"}, facts=FACTS, bind={}, path="metrics.1")
    assert raised.value.problems[0].path == "metrics.1.averge"
    assert raised.value.problems[0].nearest == "average"
    with pytest.raises(PluginError) as raised:
        build_metric("acuracy", {}, facts=FACTS, bind={})
    assert raised.value.problems[0].nearest == "accuracy"


def test_own_metric_beside_the_job(tmp_path):
    (tmp_path / "own.py").write_text(
        "import torch\n"
        "from torchmetrics import Metric\n"
        "class Largest(Metric):\n"
        "    higher_is_better = False\n"
        "    def __init__(self, scale: float = 1.0):\n"
        "        super().__init__()\n"
        "        self.scale = scale\n"
        "        self.add_state('largest', torch.tensor(0.0), dist_reduce_fx='max')\n"
        "    def update(self, preds, target):\n"
        "        self.largest = torch.maximum(self.largest, (preds - target).abs().max())\n"
        "    def compute(self):\n"
        "        return self.largest * self.scale\n"
        "class Plain:\n"
        "    pass\n"
    )
    metric = build_metric("own.py:Largest", {"scale": 2}, facts={}, bind={}, base=tmp_path)
    metric.update({"logits": torch.tensor([[1.0], [5.0]])}, {"target": torch.tensor([0.0, 1.0])})
    assert metric.compute() == {"largest": 8.0}
    assert higher_is_better("own.py:Largest", tmp_path) is False
    with pytest.raises(PluginError, match="which is no torchmetrics"):
        build_metric("own.py:Plain", {}, facts={}, bind={}, base=tmp_path)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("accuracy", True),
        ("top_k_accuracy", True),
        ("f1", True),
        ("auroc", True),
        ("calibration_error", False),
        ("mae", False),
        ("rmse", False),
        ("r2", True),
        ("perplexity", False),
        ("torchmetrics.MeanSquaredError", False),
        ("pearson_corr_coef", None),
    ],
)
def test_higher_is_better(name, answer):
    assert higher_is_better(name) is answer


@pytest.mark.parametrize(
    "name", ["accuracy", "Accuracy", "f1_score", "mean_squared_error", "MeanSquaredError", "auroc"]
)
def test_names_of_all_forms(name):
    assert build_metric(name, {}, facts=FACTS, bind={}).name == name


def test_align_touches_only_an_extra_one():
    for preds, target, expected in [
        ((4, 1), (4,), ((4,), (4,))),
        ((4,), (4, 1), ((4,), (4,))),
        ((4, 1), (4, 1), ((4, 1), (4, 1))),
        ((4, 3), (4,), ((4, 3), (4,))),
        ((1, 1), (1,), ((1,), (1,))),
        ((2, 5, 1), (2, 5), ((2, 5), (2, 5))),
        ((4, 1), (3,), ((4, 1), (3,))),
    ]:
        found = align(torch.zeros(preds), torch.zeros(target))
        assert (found[0].shape, found[1].shape) == expected


def test_labels_pass_unchanged():
    labels = torch.tensor([0, 2, 1])
    assert class_scores(labels, labels, "multiclass", raw=True, by_label=True) is labels


def test_mixed_targets_are_refused():
    with pytest.raises(ValueError, match="no whole numbers"):
        whole_targets(torch.tensor([0.5, 1.0]))
