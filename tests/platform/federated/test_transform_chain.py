from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainwright.federated import Encoded, UpdateTransform
from trainwright.federated.transport.transform_chain import decode, encode
from trainwright.plugins import create

NAMES = {
    "top_k": st.fixed_dictionaries({"fraction": st.floats(0.05, 1)}),
    "random_mask": st.fixed_dictionaries({"fraction": st.floats(0.05, 1)}),
    "quantize": st.fixed_dictionaries(
        {"bits": st.integers(1, 16), "bucket_size": st.none() | st.integers(1, 7)}
    ),
    "sign": st.fixed_dictionaries({"bucket_size": st.none() | st.integers(1, 7)}),
}
TRANSFORMS = st.one_of(
    options.map(lambda values, name=name: create("update_transforms", name, **values))
    for name, options in NAMES.items()
)


class Doubled(UpdateTransform):
    """Twice the update: in a chain the order shows."""

    def encode(self, update: torch.Tensor, generator: torch.Generator) -> Encoded:
        return Encoded(2 * update, {}, len(update), 0)

    def decode(self, encoded: Encoded) -> torch.Tensor:
        return encoded.values / 2


class Raised(UpdateTransform):
    """The update plus a random number that is sent beside it, in two bytes a value."""

    bits = 16

    def encode(self, update: torch.Tensor, generator: torch.Generator) -> Encoded:
        by = torch.rand(1, generator=generator)
        return Encoded(update + by, {"by": by}, len(update), 4)

    def decode(self, encoded: Encoded) -> torch.Tensor:
        return encoded.values - encoded.side["by"]


def test_without_transforms_the_update_travels_as_it_is() -> None:
    update = torch.randn(11)
    sent = encode([], update, seed=0, round=0, client=0)
    assert sent.num_bytes == 4 * 11
    assert decode([], sent).equal(update)


def test_the_first_encodes_first_and_decodes_last() -> None:
    chain = [Doubled(), Raised()]
    sent = encode(chain, torch.zeros(3), seed=0, round=0, client=0)
    by = sent.steps[1].side["by"]
    assert sent.values.equal(by.expand(3))
    assert decode(chain, sent).equal(torch.zeros(3))
    other = encode(chain[::-1], torch.zeros(3), seed=0, round=0, client=0)
    assert other.values.equal(2 * other.steps[0].side["by"].expand(3))


def test_bytes_are_those_of_the_last_values_and_of_everything_beside() -> None:
    assert encode([Raised(), Doubled()], torch.zeros(5), 0, 0, 0).num_bytes == 5 * 2 + 4
    assert encode([Raised(), Raised()], torch.zeros(5), 0, 0, 0).num_bytes == 5 * 2 + 8
    chain = [
        create("update_transforms", "top_k", fraction=0.1),
        create("update_transforms", "quantize", bits=3),
    ]
    # 10 of 100 elements, of 3 bits each: 4 bytes, 10 places, one scale
    assert encode(chain, torch.randn(100), 0, 0, 0).num_bytes == 4 + 10 * 4 + 4


@given(st.lists(TRANSFORMS, max_size=3), st.integers(1, 50), st.integers(0, 2**31))
def test_every_chain_gives_back_an_update_and_counts_its_bytes(chain, size, seed) -> None:
    update = torch.randn(size, generator=torch.Generator().manual_seed(seed))
    sent = encode(chain, update, seed, round=3, client=7)
    decoded = decode(chain, sent)
    assert decoded.shape == update.shape
    assert decoded.dtype == torch.float32
    assert decoded.isfinite().all()
    bits = next((t.bits for t in reversed(chain) if t.bits is not None), 32)
    beside = sum(
        # a seed of 4 bytes is kept as an int64; everything else is sent as it is
        value.numel() * 4
        for step in sent.steps
        for value in step.side.values()
    )
    assert sent.num_bytes == math.ceil(len(sent.values) * bits / 8) + beside
    again = encode(chain, update, seed, round=3, client=7)
    assert again.values.equal(sent.values)


@pytest.mark.parametrize("other", [(1, 3, 7), (0, 4, 7), (0, 3, 8)])
def test_seed_round_and_client_decide_the_random_numbers(other: tuple[int, int, int]) -> None:
    chain = [Raised()]
    here = encode(chain, torch.zeros(1), 0, 3, 7)
    there = encode(chain, torch.zeros(1), *other)
    assert not here.values.equal(there.values)


def test_two_of_a_kind_draw_different_numbers() -> None:
    first, second = encode([Raised(), Raised()], torch.zeros(1), 0, 0, 0).steps
    assert not first.side["by"].equal(second.side["by"])


def test_a_chain_that_is_right_in_the_mean_stays_so() -> None:
    chain = [
        create("update_transforms", "random_mask", fraction=0.5),
        create("update_transforms", "quantize", bits=2),
    ]
    torch.manual_seed(0)
    update, draws = torch.randn(16), 3000
    decoded = torch.stack(
        [decode(chain, encode(chain, update, 0, round, 5)) for round in range(draws)]
    ).double()
    error = (decoded.mean(dim=0) - update).abs() / (decoded.std(dim=0) / draws**0.5 + 1e-9)
    assert error.max() < 4
