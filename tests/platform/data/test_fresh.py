"""Transforms change a batch in place only where its memory is its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from trainwright.data.table import Table
from trainwright.data.transforms import RandomCrop, RandomFlip, Scale, Standardize, TransformChain
from trainwright.data.transforms.protocol import Batch, TransformContext

CHAINS: dict[str, Any] = {
    "standardize": lambda: [Standardize()],
    "scale": lambda: [Scale(3.7, -0.3)],
    "both": lambda: [Scale(3.7, -0.3), Standardize()],
    "augmented": lambda: [RandomCrop(2), RandomFlip(), Standardize()],
    "named twice": lambda: [Standardize(["x", "x"])],
}


def table_of(seed: int, rows: int, stored: type) -> Table:
    values = np.random.default_rng(seed).integers(0, 256, (rows, 3, 8, 8)).astype(stored)
    values.setflags(write=False)
    return Table.from_arrays({"x": values, "y": np.arange(rows)}, {"x": "image", "y": "class"})


def fitted(transforms: list[Any], table: Table) -> TransformChain:
    chain = TransformChain([(type(t).__name__.lower(), t) for t in transforms])
    chain.fit(table)
    return chain


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
@pytest.mark.parametrize("name", CHAINS)
@given(st.integers(0, 99), st.integers(1, 20), st.sampled_from([np.uint8, np.float32]))
@settings(max_examples=15, deadline=None)
def test_in_place_gives_the_same_bits_and_leaves_the_table(
    name: str, seed: int, rows: int, stored: type
) -> None:
    table = table_of(seed, rows, stored)
    before = {n: tensor.clone() for n, tensor in table.tensors.items()}
    chain, chosen = fitted(CHAINS[name](), table), torch.arange(rows).flip(0)
    kept = table.take(chosen)
    copy = {n: tensor.clone() for n, tensor in kept.items()}
    plain = chain(kept, 1, training=True)
    fresh = chain(table.take(chosen), 1, training=True, fresh=True)
    assert all(torch.equal(fresh[n], plain[n]) for n in plain)
    assert all(torch.equal(kept[n], copy[n]) for n in copy)
    assert all(torch.equal(table.tensors[n], before[n]) for n in before)


def test_standardize_is_the_plain_formula_and_works_in_place() -> None:
    table = table_of(0, 20, np.uint8)
    chain = fitted([Standardize()], table)
    learnt = chain.state_dict()["standardize"]
    given_batch = table.take(torch.arange(20))
    x = given_batch["x"].clone()
    got = chain(given_batch, 0, training=True, fresh=True)["x"]
    assert torch.equal(got, (x - learnt["mean"]["x"]) / learnt["std"]["x"])
    assert got.data_ptr() == given_batch["x"].data_ptr()


class Keeps:
    """A user's transform, which gives its input a second name and keeps it."""

    kept: Tensor

    def __call__(self, batch: Batch, context: TransformContext) -> Batch:
        self.kept = batch["x"]
        return {**batch, "again": batch["x"]}


def test_after_a_transform_that_declares_nothing_all_memory_is_left_alone() -> None:
    table, keeps = table_of(0, 20, np.float32), Keeps()
    chain = fitted([keeps, Scale(2.0, columns=["x"]), Standardize(["x"])], table)
    got = chain(table.take(torch.arange(20)), 0, training=True, fresh=True)
    assert torch.equal(keeps.kept, table.tensors["x"])
    assert torch.equal(got["again"], table.tensors["x"])


@pytest.mark.parametrize("name", CHAINS)
def test_what_declares_it_gives_no_memory_to_two_columns(name: str) -> None:
    table = table_of(0, 20, np.uint8)
    got = fitted(CHAINS[name](), table)(table.take(torch.arange(20)), 0, True, fresh=True)
    places = {tensor.untyped_storage().data_ptr() for tensor in got.values()}
    assert len(places) == len(got)
