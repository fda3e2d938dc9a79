"""The probe of topological errors: masks by hand, and runs on several workers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from trainwright.testing import Case, Rig, Setup
from trainwright_strategies.betti_matching_error import BettiMatchingError, mask_errors

RINGS = {
    "data": {
        "source": {"name": "synthetic_rings", "options": {"num_samples": 48, "image_size": 16}},
        "batch_size": 12,
    },
    "model": {"name": "unet", "options": {"width": 4, "depth": 1}},
    "objective": {"name": "betti_matching"},
}


def test_errors_by_hand() -> None:
    ring = torch.zeros(6, 6)
    ring[1:4, 1:4] = 1
    ring[2, 2] = 0
    full, broken, empty = ring.clone(), ring.clone(), torch.zeros(6, 6)
    full[2, 2] = 1
    broken[1, 2] = broken[3, 2] = 0
    found = mask_errors(torch.stack([ring, full, broken, empty]), ring.expand(4, 6, 6))
    assert found[:, 0].tolist() == [0.0, 1.0, 2.0, 3.0]
    assert found[:, 1].tolist() == [0.0, 1.0, 2.0, 2.0]
    assert found[:, 2].tolist() == pytest.approx([0.0, 1 / 17, 1 / 7, 1.0], abs=1e-5)


class _Given:
    """An evaluation of one batch."""

    def __init__(self, logits: Tensor, target: Tensor) -> None:
        self.given = [({"target": target}, {"logits": logits})]

    def batches(self) -> Any:
        return self.given

    def sum(self, value: Tensor) -> Tensor:
        return value


def test_masks_are_where_a_class_is_likely() -> None:
    target = torch.zeros(1, 4, 4, dtype=torch.int64)
    target[0, 1:3, 1:3] = 2
    logits = 0.1 * torch.nn.functional.one_hot(target, 3).movedim(-1, 1).float()
    errors = {
        name: BettiMatchingError(activation=name).evaluate(_Given(logits, target))
        for name in ("softmax", "sigmoid")
    }
    assert errors["softmax"]["betti_matching_error"] == 0.0
    # All three classes are likely nowhere less than 0.5: the mask of each is its own place.
    assert errors["sigmoid"]["mask_dice"] == pytest.approx(1.0, abs=1e-5)
    some = BettiMatchingError(activation="softmax", background=False)
    wrong = logits.flip(1)  # a ring for the block of class 2, and class 1 is nowhere
    assert some.evaluate(_Given(wrong, target))["betti_number_error"] == 0.5


@pytest.mark.parametrize("stage", [None, 3])
def test_workers_measure_as_one(stage: int | None, two_workers: Any, tmp_path: Any) -> None:
    case = Case("strategies", "betti_matching_error", job=RINGS)
    setup = Setup() if stage is None else Setup("deepspeed", stage, 2)
    with Rig(tmp_path, {2: two_workers}) as rig:
        trace = rig.train(case.job_with({}), setup)
        alone = rig.train(case.job_with({}), Setup())
    for name in ("betti_matching_error", "betti_number_error", "mask_dice"):
        measured = trace.curve(f"validation/{name}")
        assert measured == pytest.approx(alone.curve(f"validation/{name}"), rel=1e-6)
        assert len(measured) == 2
    matching, numbers = (
        trace.curve(f"validation/betti_{name}_error")[-1] for name in ("matching", "number")
    )
    assert matching >= numbers >= 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"activation": "tanh"}, "activation must be one of sigmoid, softmax, none"),
        ({"construction": "X"}, "construction must be one of V, T"),
    ],
)
def test_ill_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BettiMatchingError(**options)


def test_what_is_missing() -> None:
    logits, target = torch.zeros(1, 1, 4, 4), torch.zeros(1, 4, 4).long()
    with pytest.raises(ValueError, match="the data has no column 'mask'; it has target"):
        BettiMatchingError(column="mask").evaluate(_Given(logits, target))
    with pytest.raises(ValueError, match="the model has no output 'scores'; it gives logits"):
        BettiMatchingError(output="scores").evaluate(_Given(logits, target))
