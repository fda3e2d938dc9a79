"""Arguments found by name."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trainwright.objective import NameBinding, arguments_of, primary

OUTPUTS = {"logits": torch.zeros(2, 3), "embedding": torch.ones(2, 4)}
BATCH = {"target": torch.tensor([0, 1]), "input": torch.zeros(2), "mask": torch.ones(2)}


def _collect(function: object, **bind: str) -> dict[str, torch.Tensor]:
    return NameBinding(arguments_of(function), bind).collect(OUTPUTS, BATCH)  # type: ignore[arg-type]


def test_names_are_looked_up_in_outputs_then_columns() -> None:
    def loss(embedding, target, mask): ...

    found = _collect(loss)
    assert found["embedding"] is OUTPUTS["embedding"]
    assert found["target"] is BATCH["target"]
    assert found["mask"] is BATCH["mask"]


def test_the_input_of_a_torch_loss_is_the_models_answer_and_not_a_column_of_that_name() -> None:
    found = _collect(nn.CrossEntropyLoss().forward)
    assert found["input"] is OUTPUTS["logits"]


def test_bind_wins_over_every_other_rule() -> None:
    assert _collect(nn.MSELoss().forward, input="input", target="embedding") == {
        "input": BATCH["input"],
        "target": OUTPUTS["embedding"],
    }


def test_an_argument_with_a_default_may_be_absent_unless_it_is_bound() -> None:
    def loss(logits, temperature=1.0): ...

    assert set(_collect(loss)) == {"logits"}
    binding = NameBinding(arguments_of(loss), {"temperature": "heat"})
    [missing] = binding.missing(list(OUTPUTS), list(BATCH))
    assert (missing.argument, missing.wanted) == ("temperature", "heat")


def test_what_is_missing_comes_with_the_nearest_name() -> None:
    def loss(embeding, targets): ...

    missing = NameBinding(arguments_of(loss), {}).missing(list(OUTPUTS), list(BATCH))
    assert [(m.argument, m.nearest) for m in missing] == [
        ("embeding", "embedding"),
        ("targets", "target"),
    ]
    with pytest.raises(KeyError, match="embeding"):
        _collect(loss)


def test_a_binding_of_an_argument_that_does_not_exist_is_known() -> None:
    assert NameBinding(arguments_of(nn.MSELoss().forward), {"inptu": "logits"}).unknown == ["inptu"]


def test_names_may_change_between_calls() -> None:
    def loss(x): ...

    binding = NameBinding(arguments_of(loss), {})
    column = torch.zeros(1)
    assert binding.collect({"x": column}, {})["x"] is column
    other = torch.ones(1)
    assert binding.collect({}, {"x": other})["x"] is other


def test_the_answer_is_called_logits_or_comes_first() -> None:
    assert primary(["embedding", "logits"]) == "logits"
    assert primary(["score", "embedding"]) == "score"
