"""The loss of the unconstrained features model: by hand, and its known minimum."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from trainwright_objectives.ufm_mse import UfmMse, ufm_mse


def inputs(num: int = 6, classes: int = 4, width: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(num, classes, dtype=torch.float64, generator=generator)
    features = torch.randn(num, width, dtype=torch.float64, generator=generator)
    return logits, torch.randint(classes, (num,), generator=generator), features


def by_hand(logits: Tensor, target: Tensor, features: Tensor, decay: float) -> list[float]:
    losses = []
    for z, y, h in zip(logits.tolist(), target.tolist(), features.tolist(), strict=True):
        error = sum((value - (1.0 if k == y else 0.0)) ** 2 for k, value in enumerate(z))
        losses.append(0.5 * error + 0.5 * decay * sum(value**2 for value in h))
    return losses


def test_the_definition() -> None:
    logits, target, features = inputs()
    each = ufm_mse(logits, target, features, 0.3, "none")
    expected = by_hand(logits, target, features, 0.3)
    assert each.tolist() == pytest.approx(expected, rel=1e-10)
    assert ufm_mse(logits, target, features, 0.3).item() == pytest.approx(sum(expected) / 6)
    assert UfmMse(0.3, "sum")(logits, target, features).item() == pytest.approx(sum(expected))
    single = ufm_mse(logits.float(), target, features.float(), 0.3)
    assert single.item() == pytest.approx(sum(expected) / 6, rel=1e-5)


def test_values_as_targets() -> None:
    logits, target, features = inputs()
    one_hot = torch.eye(4, dtype=torch.float64)[target]
    torch.testing.assert_close(
        ufm_mse(logits, one_hot, features), ufm_mse(logits, target, features)
    )


def test_features_of_all_samples_are_decayed_alike_in_any_batch() -> None:
    """tau / 2 times a mean over samples is lambda_H / 2 times the sum, with tau = N lambda_H."""
    logits, target, features = inputs()
    whole = ufm_mse(logits, target, features, 0.0) + 0.05 / 2 * features.square().sum()
    parts = [ufm_mse(logits[i], target[i], features[i], 6 * 0.05) for i in ([0, 1], [2, 3], [4, 5])]
    torch.testing.assert_close(torch.stack(parts).mean(), whole)


def test_gradcheck() -> None:
    logits, target, features = inputs()
    assert torch.autograd.gradcheck(
        lambda z, h: ufm_mse(z, target, h, 0.3),
        (logits.requires_grad_(), features.requires_grad_()),
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_added_up_in_float32(dtype: torch.dtype) -> None:
    logits, target, features = (x.to(dtype) if x.is_floating_point() else x for x in inputs())
    logits.requires_grad_()
    loss = ufm_mse(logits, target, features, 0.3)
    assert loss.dtype == torch.float32
    expected = ufm_mse(logits.detach().double(), target, features.double(), 0.3)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad.dtype == dtype


@pytest.mark.parametrize(
    ("layers", "loss", "rows", "means"),
    [
        (1, 0.0274979379, [6.184555, 4.332136, 3.022278], [0.154614, 0.216607, 0.302228]),
        (2, None, [3.3925**2, 2.6797**2, 2.1104**2], None),
        (3, None, [3.9617**2, 3.0408**2, 2.3264**2], None),
    ],
)
def test_the_minimum_for_unequal_classes(
    layers: int, loss: float | None, rows: list[float], means: list[float] | None
) -> None:
    """Direct minimisation over free features and weights, with 40, 20 and 10 samples."""
    generator = torch.Generator().manual_seed(0)
    target = torch.arange(3).repeat_interleave(torch.tensor([40, 20, 10]))
    sizes = [8] * layers + [3]
    free = [torch.randn(70, 8, dtype=torch.float64, generator=generator)] + [
        torch.randn(b, a, dtype=torch.float64, generator=generator) for a, b in pairwise(sizes)
    ]
    free = [(0.4 * value).requires_grad_() for value in free]
    options = {"max_iter": 4000, "tolerance_grad": 1e-10, "tolerance_change": 1e-15}
    optimizer = torch.optim.LBFGS(free, line_search_fn="strong_wolfe", **options)

    def value() -> Tensor:
        features, *weights = free
        logits = features
        for weight in weights:
            logits = logits @ weight.T
        decay = sum(weight.square().sum() for weight in weights)
        return ufm_mse(logits, target, features, 70 * 2e-3) + 2e-3 / 2 * decay

    def closure() -> Any:
        optimizer.zero_grad()
        found = value()
        found.backward()
        return found

    optimizer.step(closure)
    with torch.no_grad():
        features, *weights = free
        whole = weights[0]
        for weight in weights[1:]:
            whole = weight @ whole
        gram = whole @ whole.T
        centres = torch.stack([features[target == k].mean(dim=0) for k in range(3)])
        torch.testing.assert_close(gram, torch.diag(torch.tensor(rows).double()), **_CLOSE)
        if means is not None:
            frame = torch.diag(torch.tensor(means).double())
            torch.testing.assert_close(centres @ centres.T, frame, rtol=0, atol=1e-6)
        if loss is not None:
            assert value().item() == pytest.approx(loss, abs=1e-9)


_CLOSE = {"rtol": 1e-4, "atol": 1e-5}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"feature_decay": -1.0}, "feature_decay must be a number of at least 0"),
        ({"feature_decay": float("nan")}, "feature_decay must be a number of at least 0"),
        ({"reduction": "max"}, "reduction must be mean, sum or none"),
    ],
)
def test_ill_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        UfmMse(**options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"logits": torch.zeros(6)}, "logits must have shape"),
        ({"embedding": torch.zeros(5, 3)}, "embedding \\(N, d\\)"),
        ({"target": torch.zeros(6)}, "target must have shape"),
        ({"target": torch.full((6,), 4)}, "targets lie in \\[4, 4\\]"),
        ({"target": torch.full((6,), -1)}, "targets lie in \\[-1, -1\\]"),
    ],
)
def test_ill_inputs(change: dict[str, Tensor], message: str) -> None:
    logits, target, features = inputs()
    with pytest.raises(ValueError, match=message):
        ufm_mse(**{"logits": logits, "target": target, "embedding": features, **change})
