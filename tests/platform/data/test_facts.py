from __future__ import annotations

import numpy as np
import pytest
import torch

from trainwright.data import Table
from trainwright.data.facts import data_facts, input_column, target_column
from trainwright.data.sources import diabetes, digits, synthetic_regression, wine
from trainwright.data.transforms import Flatten, OneHot, TransformChain
from trainwright.errors import DataError


def test_images_and_classes() -> None:
    assert data_facts(digits(), {}) == {
        "in_features": 64,
        "in_channels": 1,
        "image_size": 8,
        "num_classes": 10,
        "out_features": 10,
        "target_kind": "class",
    }


def test_vectors_and_values() -> None:
    assert data_facts(diabetes(), {}) == {
        "in_features": 10,
        "out_features": 1,
        "target_kind": "value",
    }
    assert data_facts(synthetic_regression(10, num_outputs=3), {})["out_features"] == 3
    assert data_facts(wine(), {})["num_classes"] == 3


def test_oblong_images_and_tokens() -> None:
    table = Table.from_arrays(
        {"image": np.zeros((2, 3, 4, 6)), "words": np.array([[1, 5], [0, 2]]), "y": np.zeros(2)},
        {"image": "image", "words": "tokens", "y": "value"},
    )
    facts = data_facts(table, {"x": "image"})
    assert facts["image_size"] == (4, 6)
    assert facts["in_features"] == 72
    assert data_facts(table, {"x": "words"}) == {
        "in_features": 2,
        "vocabulary_size": 6,
        "sequence_length": 2,
        "out_features": 1,
        "target_kind": "value",
    }
    assert input_column(table.columns) is None
    assert data_facts(table, {}) == {"out_features": 1, "target_kind": "value"}


def test_facts_after_transforms() -> None:
    chain = TransformChain([("flatten", Flatten()), ("one_hot", OneHot())])
    chain.fit(digits())
    facts = data_facts(chain.columns, {})
    assert facts == {
        "in_features": 64,
        "num_classes": 10,
        "out_features": 10,
        "target_kind": "vector",
    }


def test_the_target_is_guessed_only_when_it_is_clear() -> None:
    def names(**kinds: str) -> str | None:
        arrays = {
            name: torch.zeros(2, 1, 1, 1) if k == "image" else torch.zeros(2)
            for name, k in kinds.items()
        }
        return target_column(Table.from_arrays(arrays, kinds).columns)

    assert names(x="image", target="value", label="class") == "target"
    assert names(x="image", label="class", weight="value") == "label"
    assert names(x="image", a="class", b="class") is None
    assert names(x="image", y="value") == "y"
    assert names(x="image") is None


def test_a_bound_column_that_does_not_exist_is_refused() -> None:
    with pytest.raises(DataError) as caught:
        data_facts(digits(), {"x": "imagee"})
    (problem,) = caught.value.problems
    assert (problem.path, problem.nearest) == ("model.inputs.x", "image")
