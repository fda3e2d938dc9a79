"""Metrics by name: values against hand computation and scikit-learn, shapes, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from metric_samples import CLASSES, FACTS, evaluate
from sklearn import metrics as reference

from trainwright.errors import PluginError
from trainwright.metrics import build_metric


@pytest.fixture
def samples():
    random = torch.Generator().manual_seed(3)
    logits = torch.randn(50, CLASSES, generator=random)
    return logits, torch.randint(CLASSES, (50,), generator=random)


@pytest.mark.parametrize(
    ("name", "oracle"),
    [
        ("accuracy", lambda y, p: reference.accuracy_score(y, p.argmax(1))),
        ("f1", lambda y, p: reference.f1_score(y, p.argmax(1), average="macro")),
        ("precision", lambda y, p: reference.precision_score(y, p.argmax(1), average="macro")),
        ("recall", lambda y, p: reference.recall_score(y, p.argmax(1), average="macro")),
        ("auroc", lambda y, p: reference.roc_auc_score(y, p, multi_class="ovr")),
        ("matthews_corr_coef", lambda y, p: reference.matthews_corrcoef(y, p.argmax(1))),
    ],
)
def test_classification_agrees_with_scikit_learn(name, oracle, samples):
    logits, target = samples
    found = evaluate(name, {"logits": logits}, {"target": target})
    expected = oracle(target.numpy(), logits.double().softmax(1).numpy())
    assert found == {name: pytest.approx(expected, rel=1e-5)}


def test_top_k_counts_the_k_likeliest(samples):
    logits, target = samples
    top = logits.topk(2, dim=1).indices
    expected = (top == target[:, None]).any(1).float().mean().item()
    found = evaluate("top_k_accuracy", {"logits": logits}, {"target": target}, options={"k": 2})
    assert found["top_k_accuracy"] == pytest.approx(expected)


def test_calibration_error_by_hand():
    # confidences .9 (right), .9 (wrong), .6 (right): bins of a tenth
    probabilities = torch.tensor([[0.9, 0.1], [0.1, 0.9], [0.4, 0.6]])
    found = evaluate(
        "calibration_error",
        {"logits": probabilities.log()},
        {"target": torch.tensor([0, 0, 1])},
        options={"n_bins": 10},
        facts={"num_classes": 2},
        parts=1,
    )
    assert found["calibration_error"] == pytest.approx(2 / 3 * 0.4 + 1 / 3 * 0.4)


@pytest.mark.parametrize("parts", [1, 25])
def test_scores_do_not_depend_on_the_batches_range(parts):
    """Logits that lie in [0, 1] in some batches only must not pass for probabilities there."""
    logits = torch.tensor([[0.1, 0.9], [0.2, 0.3], [3.0, -3.0], [0.6, 0.4], [-1.0, 2.0]] * 10)
    target = torch.tensor([1, 0, 0, 1, 1] * 10)
    found = evaluate(
        "auroc", {"logits": logits}, {"target": target}, facts={"num_classes": 2}, parts=parts
    )
    expected = reference.roc_auc_score(target, logits.softmax(1)[:, 1])
    assert found["auroc"] == pytest.approx(expected)


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_one_logit_for_two_classes(shape):
    score = torch.tensor([-2.0, 0.3, 1.5, -0.1, 0.2])
    target = torch.tensor([0, 1, 1, 1, 0])
    batch = {"target": target}
    outputs = {"logits": score.reshape(shape)}
    facts = {"num_classes": 2}
    assert evaluate("accuracy", outputs, batch, facts=facts) == {"accuracy": pytest.approx(3 / 5)}
    expected = reference.roc_auc_score(target, score)
    assert evaluate("auroc", outputs, batch, facts=facts)["auroc"] == pytest.approx(expected)


def test_binary_task_puts_the_threshold_at_logit_zero_in_every_batch():
    score = torch.tensor([[0.2], [0.4], [-3.0], [0.1]])  # the first batch lies within [0, 1]
    found = evaluate(
        "accuracy",
        {"logits": score},
        {"target": torch.tensor([1.0, 1.0, 0.0, 0.0])},
        options={"task": "binary"},
        parts=2,
    )
    assert found["accuracy"] == pytest.approx(3 / 4)


def test_multilabel_takes_the_number_of_labels_from_the_data():
    logits = torch.tensor([[2.0, -1.0, 0.2], [-1.0, -2.0, 3.0]])
    target = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    found = evaluate(
        "accuracy",
        {"logits": logits},
        {"target": target},
        options={"task": "multilabel"},
        facts={"out_features": 3},
        parts=1,
    )
    assert found["accuracy"] == pytest.approx(np.mean([1, 0.5, 0.5]))


@pytest.mark.parametrize(
    ("name", "oracle"),
    [
        ("mae", reference.mean_absolute_error),
        ("mse", reference.mean_squared_error),
        ("rmse", reference.root_mean_squared_error),
        ("r2", reference.r2_score),
    ],
)
@pytest.mark.parametrize("preds_shape", [(-1,), (-1, 1)])
@pytest.mark.parametrize("target_shape", [(-1,), (-1, 1)])
def test_regression_agrees_with_scikit_learn(name, oracle, preds_shape, target_shape):
    random = torch.Generator().manual_seed(5)
    values = torch.randn(40, generator=random)
    target = values + torch.randn(40, generator=random)
    found = evaluate(
        name,
        {"logits": values.reshape(preds_shape)},
        {"target": target.reshape(target_shape)},
        facts={"out_features": 1, "target_kind": "value"},
    )
    assert found[name] == pytest.approx(oracle(target.numpy(), values.numpy()), rel=1e-5)


def test_regression_of_another_shape_is_refused():
    with pytest.raises(PluginError, match=r"mse cannot take preds \(4, 3\), target \(4,\)"):
        evaluate("mse", {"logits": torch.zeros(4, 3)}, {"target": torch.zeros(4)}, parts=1)


def test_perplexity_is_the_exponential_of_the_mean_loss():
    logits = torch.randn(4, 6, 9, generator=torch.Generator().manual_seed(0))
    target = torch.randint(9, (4, 6), generator=torch.Generator().manual_seed(1))
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten())
    found = evaluate("perplexity", {"logits": logits}, {"target": target}, facts={}, parts=2)
    assert found["perplexity"] == pytest.approx(math.exp(loss), rel=1e-5)


def test_half_precision_outputs_are_counted_in_full(samples):
    logits, target = samples
    half = evaluate("auroc", {"logits": logits.bfloat16()}, {"target": target})
    rounded = evaluate("auroc", {"logits": logits.bfloat16().float()}, {"target": target})
    assert half == rounded


def test_reset_forgets():
    metric = build_metric("mae", {}, facts={}, bind={})
    metric.update({"logits": torch.ones(2)}, {"target": torch.zeros(2)})
    metric.reset()
    metric.update({"logits": torch.ones(2) * 3}, {"target": torch.zeros(2)})
    assert metric.compute() == {"mae": 3.0}


def test_no_graph_is_kept():
    logits = torch.randn(4, CLASSES, requires_grad=True)
    metric = build_metric("auroc", {}, facts=FACTS, bind={})
    metric.update({"logits": logits}, {"target": torch.tensor([0, 1, 2, 0])})
    assert not any(part.requires_grad for part in metric.metric.preds)


def test_bound_by_name(samples):
    logits, target = samples
    outputs = {"embedding": torch.zeros(50, 2), "aux": logits}
    batch = {"label": target}
    bound = evaluate("accuracy", outputs, batch, bind={"preds": "aux", "target": "label"})
    assert bound == evaluate("accuracy", {"logits": logits}, {"target": target})


def test_the_first_output_is_taken_without_logits(samples):
    logits, target = samples
    found = evaluate("accuracy", {"answer": logits, "more": torch.zeros(50)}, {"target": target})
    assert found == evaluate("accuracy", {"logits": logits}, {"target": target})


def test_bound_probabilities_are_not_normalised_again():
    probability = torch.tensor([0.2, 0.6, 0.9])
    facts = {"num_classes": 2}
    found = evaluate(
        "calibration_error",
        {"probability": probability},
        {"target": torch.tensor([0, 1, 1])},
        facts=facts,
        bind={"preds": "probability"},
        parts=1,
    )
    assert found["calibration_error"] == pytest.approx((0.2 + 0.4 + 0.1) / 3)


def test_results_per_class_are_numbered(samples):
    logits, target = samples
    found = evaluate("f1", {"logits": logits}, {"target": target}, options={"average": "none"})
    expected = reference.f1_score(target, logits.argmax(1), average=None)
    assert found == {f"f1/{i}": pytest.approx(value) for i, value in enumerate(expected)}
