"""What travels between processes arrives as it was, and takes no more than it holds."""

from __future__ import annotations

import pytest
import torch

from trainwright.federated.aggregator import State
from trainwright.federated.transport.sent import Sent
from trainwright.federated.transport.travel import packed, unpacked
from trainwright.federated.transport.work import Bin

DTYPES = [
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.complex64,
    torch.int64,
    torch.int32,
    torch.uint8,
    torch.bool,
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3)])
def test_tensors_of_every_kind(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    tensor = torch.randint(2, shape).to(dtype)
    found = unpacked(packed({"a": tensor}))["a"]
    assert found.dtype == dtype
    assert found.equal(tensor)
    found.zero_()  # memory of its own, which may be written


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(12.0).reshape(3, 4).t(),
        torch.arange(12.0)[::3],
        torch.tensor([1.0, float("nan"), -0.0, float("inf")]),
        torch.eye(3).to_sparse(),
        torch.nn.Parameter(torch.ones(2)),
        torch.ones(2, requires_grad=True),
    ],
    ids=["turned", "strided", "not finite", "sparse", "parameter", "with gradient"],
)
def test_tensors_of_every_form(tensor: torch.Tensor) -> None:
    found = unpacked(packed(tensor))
    assert type(found) is type(tensor)
    assert found.requires_grad == tensor.requires_grad
    assert found.layout == tensor.layout
    torch.testing.assert_close(found, tensor, rtol=0, atol=0, equal_nan=True)


def test_a_view_takes_no_more_than_it_holds() -> None:
    rows = torch.zeros(1000, 100)
    assert len(packed(rows[7])) < 1000


def test_what_a_round_sends() -> None:
    state: State = {"control": torch.arange(3.0)}
    sent = Sent(4, 0.1, torch.arange(5.0), torch.zeros(0), {"n": torch.tensor(3)}, state)
    bins = [Bin([3, 9], [state, {}])]
    found, others = unpacked(packed((sent, bins)))
    assert (found.round, found.lr) == (4, 0.1)
    assert found.weights.equal(sent.weights)
    assert found.counters["n"].equal(torch.tensor(3))
    assert found.shared["control"].equal(state["control"])
    assert others[0].clients == [3, 9]
    assert others[0].states[0]["control"].equal(state["control"])
