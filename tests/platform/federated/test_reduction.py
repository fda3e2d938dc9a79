"""What clients send, and how it is added up: against slow sums in float64."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from federations import chunk_of, parts_of, sent_of
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from trainwright.federated import Aggregator, Client, Message, State
from trainwright.federated.clients.staying import Staying
from trainwright.federated.privacy.plan import PrivacyPlan
from trainwright.federated.transport.masking import Masks
from trainwright.federated.transport.messages import Postbox
from trainwright.federated.transport.outgoing import Outgoing
from trainwright.federated.transport.reduction import Total
from trainwright.federated.transport.sent import Sent
from trainwright.federated.transport.work import groups_of
from trainwright_strategies.update_transforms.quantize import Quantize

PARTS = parts_of()
SIZE = PARTS.vectors.layout.size
ROWS = [5, 1, 12, 7, 3, 9, 2]


PRIVATE = PrivacyPlan(clip=1.0, noise=1.0, local=True, cohort=7, seed=0)
WAYS = [
    Outgoing(0),
    Outgoing(0, None, [Quantize(4)]),
    Outgoing(0, PRIVATE),
    Outgoing(0, masks=True),
]


class Talkative(Aggregator):
    """Sends a second part, and keeps something."""

    keeps_state = True

    def __init__(self, reduce: str = "sum", weighting: str = "samples") -> None:
        self.reduce, self.weighting = reduce, weighting

    def end(self, update: Tensor, client: Client) -> tuple[Message, State]:
        twice = torch.full((2, 3), float(client.num_samples))
        return {"update": update, "twice": twice}, {"own": update[:2]}


def chunks(broken: Sequence[int] = (), scale: float = 1.0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    weights = scale * torch.randn(len(ROWS), SIZE, generator=generator)
    for place in broken:
        weights[place, place] = float("nan")
    return weights


def sent() -> Sent:
    privacy = {"clip": PRIVATE.clip}
    return sent_of(PARTS, weights=torch.zeros(SIZE), cohort=range(len(ROWS)), privacy=privacy)


def total_of(
    aggregator: Aggregator,
    weights: Tensor,
    groups: Sequence[Sequence[int]],
    outgoing: Outgoing | None = None,
    side_by_side: bool = True,
) -> Total:
    """The total of clients in groups, each in one chunk or in chunks of one."""
    post = Postbox(
        aggregator, PARTS.vectors.layout, Staying(PARTS.vectors, ()), outgoing or Outgoing(0)
    )
    whole = Total()
    for group in groups:
        total = Total()
        for clients in [list(group)] if side_by_side else [[client] for client in group]:
            chunk = chunk_of(weights, ROWS)
            members = [chunk.members[client] for client in clients]
            part = chunk_of(weights[clients], [ROWS[client] for client in clients])
            part = type(part)(members, *(getattr(part, n) for n in _FIELDS))
            total.take(post(part, sent()), aggregator)
            total.count({"seen": torch.tensor(clients[0])})
        whole.join(total)
    return whole


_FIELDS = ("weights", "buffers", "losses", "steps")


@given(st.integers(1, 7), st.booleans(), st.sampled_from(["samples", "uniform"]))
def test_means_are_those_of_a_slow_sum(bins, side_by_side, weighting) -> None:
    weights = chunks()
    aggregator = Talkative(weighting=weighting)
    total = total_of(aggregator, weights, groups_of(range(7), bins), None, side_by_side)
    by = ROWS if weighting == "samples" else [1] * 7
    slow = sum(w * row.double() for w, row in zip(by, weights, strict=True)) / sum(by)
    reduced = total.reduced(3, PARTS.federation)
    assert reduced.mean["update"].dtype == torch.float64
    torch.testing.assert_close(reduced.mean["update"], slow, rtol=1e-14, atol=1e-15)
    second = sum(w * rows for w, rows in zip(by, ROWS, strict=True)) / sum(by)
    torch.testing.assert_close(reduced.mean["twice"], torch.full((2, 3), second).double())
    assert reduced.weights.tolist() == by
    assert reduced.num_clients == 7
    assert total.clients == list(range(7))
    assert total.num_samples == sum(ROWS)
    assert total.num_bytes == 7 * 4 * (SIZE + 6)
    assert total.counters["seen"] == (groups_of(range(7), bins)[-1][0] if side_by_side else 6)
    assert [state["own"].tolist() for state in total.states] == weights[:, :2].tolist()
    assert total.mean(total.norms) == pytest.approx(
        sum(w * float(row.norm()) for w, row in zip(by, weights, strict=True)) / sum(by)
    )


def test_single_messages_are_stacked_in_the_order_of_clients() -> None:
    weights = chunks()
    total = total_of(Talkative("stack"), weights, [[4, 2], [6, 0, 5], [1, 3]])
    reduced = total.reduced(0, PARTS.federation)
    assert reduced.stack["update"].equal(weights)
    assert reduced.stack["twice"][:, 0, 0].tolist() == ROWS
    assert reduced.weights.tolist() == ROWS
    assert reduced.mean == {}


@pytest.mark.parametrize("outgoing", WAYS, ids=["plain", "transformed", "private", "masked"])
@pytest.mark.parametrize("side_by_side", [True, False])
@pytest.mark.parametrize("reduce", ["sum", "stack"])
def test_what_is_not_finite_is_left_out(outgoing, side_by_side, reduce) -> None:
    """On every way, and also where nobody of a chunk or a bin is left."""
    if outgoing.masks and reduce == "stack":
        return
    groups = [[0, 1], [2, 3, 4], [5, 6]]
    aggregator = Talkative(reduce)
    weights = chunks(broken=[0, 1, 3])
    total = total_of(aggregator, weights, groups, outgoing, side_by_side)
    assert sorted(total.dropped) == [0, 1, 3]
    assert total.clients == [2, 4, 5, 6]
    others = total_of(aggregator, weights, [[2, 4], [5, 6]], outgoing, side_by_side)
    if outgoing.masks:
        for one in (total, others):
            one.unmask(Masks(0, 0, range(7)))
    mine, theirs = (one.reduced(0, PARTS.federation) for one in (total, others))
    for name in ("update", "twice"):
        found, wanted = (
            (reduced.mean if reduce == "sum" else reduced.stack)[name] for reduced in (mine, theirs)
        )
        assert found.equal(wanted)
        assert found.isfinite().all()
    assert total.num_bytes == others.num_bytes
    assert len(total.losses) == len(total.norms) == len(total.states) == 4


def test_a_loss_that_is_not_finite_counts_as_broken() -> None:
    chunk = chunk_of(torch.ones(2, SIZE), [3, 4], losses=torch.tensor([1.0, float("inf")]))
    post = Postbox(Aggregator(), PARTS.vectors.layout, Staying(PARTS.vectors, ()), Outgoing(0))
    messages = post(chunk, sent())
    assert messages.dropped == [1]
    assert messages.clients == [0]


@pytest.mark.parametrize("missing", [[], [3], [0, 6]])
def test_masked_sums_are_the_plain_ones_but_for_fixed_point(missing) -> None:
    """Also where clients that were asked never answer."""
    weights = chunks(scale=0.1)
    arrived = [client for client in range(7) if client not in missing]
    groups = [arrived[:3], arrived[3:]]
    plain = total_of(Talkative(), weights, groups).reduced(0, PARTS.federation)
    masked = total_of(Talkative(), weights, groups, Outgoing(0, masks=True))
    hidden = masked.sums["update"].double().abs().median()
    assert masked.num_bytes == len(arrived) * 8 * (SIZE + 6)
    masked.unmask(Masks(0, 0, range(7)))
    found = masked.reduced(0, PARTS.federation)
    for name in ("update", "twice"):
        gap = (found.mean[name] - plain.mean[name]).abs().max()
        assert gap <= 7 * 2.0**-33
    assert (hidden > 2.0**55) == bool(missing), "whose masks hide the sum of the others"


def test_bins_differ_by_one_client_at_most() -> None:
    assert groups_of([1, 2, 3, 4, 5], 2) == [[1, 2], [3, 4, 5]]
    assert groups_of([1, 2], 8) == [[1], [2]]
