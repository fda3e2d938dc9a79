"""The memory bank against an average kept by hand, and what it gives the objective."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from trainwright.strategy import Context, Loss
from trainwright.strategy.tables import SampleTables
from trainwright_objectives.contrastive import Contrastive
from trainwright_strategies.memory_bank import MemoryBank, drawn

SAMPLES, DIM = 12, 3


class Computed:
    """The innermost loss; keeps what it is given."""

    couples = "batch"

    def __init__(self, query: Tensor) -> None:
        self.outputs = {"query": query, "document": query + 1}
        self.given: dict[str, Tensor] = {}

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return self.outputs

    def __call__(self, batch: Mapping[str, Tensor], outputs: Mapping[str, Tensor]) -> Loss:
        self.given = dict(outputs)
        return Loss(outputs["query"].sum())


class Run:
    """Updates over a table of embeddings, as one worker sees them."""

    def __init__(self, rank: int = 0, **options: Any) -> None:
        self.strategy = MemoryBank(**options)
        tables = SampleTables(SAMPLES, torch.device("cpu"))
        self.context = Context(seed=0, rank=rank, tables=tables)
        self.strategy.begin(self.context)

    def update(self, ids: Tensor, query: Tensor) -> dict[str, Tensor]:
        compute = Computed(query)
        self.strategy.loss({"sample_id": ids}, compute)
        self.context.tables.settle()
        self.context.update += 1
        return compute.given

    @property
    def bank(self) -> Tensor:
        return self.context.table("memory_bank", (DIM,)).values


def embeddings(update: int, size: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(update)
    ids = torch.randperm(SAMPLES, generator=generator)[:size]
    return ids, 3 * torch.randn(size, DIM, generator=generator)


def unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=-1, keepdim=True)


def test_the_bank_is_an_average_of_directions() -> None:
    run, kept = Run(num_negatives=5, momentum=0.7), {}
    for update in range(8):
        ids, query = embeddings(update)
        given = run.update(ids, query)
        for index, (sample, vector) in enumerate(zip(ids.tolist(), query, strict=True)):
            before = given["document"][index]
            if sample in kept:
                torch.testing.assert_close(before, kept[sample])
            kept[sample] = unit(0.7 * before + 0.3 * unit(vector))
    for sample in range(SAMPLES):
        torch.testing.assert_close(run.bank[sample], kept.get(sample, torch.zeros(DIM)))


def test_negatives_are_entries_of_other_samples() -> None:
    run = Run(num_negatives=5)
    for update in range(8):
        before = run.bank.clone()
        ids, query = embeddings(update)
        others = [n for n in range(SAMPLES) if n not in ids.tolist() and before[n].any()]
        negatives = run.update(ids, query)["negatives"]
        assert negatives.shape == (5, DIM)
        torch.testing.assert_close(negatives.norm(dim=1), torch.ones(5))
        found = [n for n in others if (negatives == before[n]).all(dim=1).any()]
        assert len(found) == min(5, len(others))
    assert len(found) == 5


def test_random_directions_stand_for_what_was_not_seen_in_the_first_epoch() -> None:
    first, second = Run(num_negatives=9), Run(num_negatives=9)
    ids, query = embeddings(0)
    given, again = first.update(ids, query), second.update(ids, 2 * query)
    for name in ("negatives", "document"):
        assert torch.equal(given[name], again[name])
        assert len(given[name].unique(dim=0)) == len(given[name])
        torch.testing.assert_close(given[name].norm(dim=1), torch.ones(len(given[name])))
    first.context.epoch = 1
    others = [n for n in range(SAMPLES) if n not in ids.tolist()]
    later = first.update(torch.tensor(others[:4]), query)
    assert len(later["negatives"]) == 4  # no more are known


def test_what_comes_from_the_bank_has_no_gradient() -> None:
    ids, query = embeddings(0)
    run = Run(num_negatives=5)
    run.update(ids, query)
    given = run.update(ids, query.requires_grad_())
    assert given["query"] is query
    assert not given["negatives"].requires_grad
    assert not given["document"].requires_grad
    torch.testing.assert_close(given["query"].detach(), query.detach())


def test_one_worker_puts_for_all() -> None:
    run = Run(rank=1, num_negatives=5)
    run.update(*embeddings(0))
    assert not run.bank.any()


def test_half_precision_is_averaged_in_float32() -> None:
    ids, query = embeddings(0)
    exact, half = Run(num_negatives=5), Run(num_negatives=5)
    exact.update(ids, query)
    half.update(ids, query.bfloat16())
    assert half.bank.dtype == torch.float32
    torch.testing.assert_close(half.bank, exact.bank, rtol=0, atol=1e-2)
    torch.testing.assert_close(half.bank[ids].norm(dim=1), torch.ones(len(ids)))


def test_what_is_drawn() -> None:
    seen = torch.tensor([True, True, False, True, True, True])
    generator = torch.Generator().manual_seed(0)
    draws = [drawn(seen, torch.tensor([1]), 2, generator).tolist() for _ in range(200)]
    assert all(len(set(ids)) == 2 and set(ids) <= {0, 3, 4, 5} for ids in draws)
    often = torch.bincount(torch.tensor(draws).flatten(), minlength=6)
    assert all(70 < often[n] < 130 for n in (0, 3, 4, 5))
    assert sorted(drawn(seen, torch.tensor([1]), 9, generator).tolist()) == [0, 3, 4, 5]


def test_nothing_changes_without_negatives() -> None:
    compute = Computed(torch.ones(2, DIM))
    strategy = MemoryBank(num_negatives=0)
    passed = []
    strategy.loss({}, lambda batch: passed.append(batch) or Loss(torch.zeros(())))
    assert passed == [{}]
    assert compute.given == {}
    objective = nn.MSELoss()
    assert strategy.objective(objective) is objective


def test_objectives_that_do_not_fit() -> None:
    strategy = MemoryBank()
    with pytest.raises(ValueError, match="negatives, which it does not take"):
        strategy.objective(nn.MSELoss())
    with pytest.raises(ValueError, match="entries of the bank are no anchors"):
        strategy.objective(nn.Sequential(Contrastive()))
    objective = Contrastive(symmetric=False)
    assert strategy.objective(objective) is objective


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_negatives": -1}, "num_negatives must be a whole number of at least 0, got -1"),
        ({"momentum": 1.0}, "momentum must be at least 0 and below 1, got 1.0"),
        ({"momentum": -0.1}, "momentum must be at least 0 and below 1"),
    ],
)
def test_ill_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MemoryBank(**options)


def test_an_output_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="no output 'embedding'; it gives query, document"):
        Run(output="embedding").update(*embeddings(0))


def test_the_loss_is_that_of_a_softmax_over_the_bank() -> None:
    """The objective with what the strategy gives it, against cross-entropy written out."""
    ids, query = embeddings(3)
    run = Run(num_negatives=6)
    run.update(*embeddings(1))
    given = run.update(ids, query)
    found = Contrastive(0.5, symmetric=False)(**given)
    logits = [
        torch.cat([(unit(q) * p).sum()[None], given["negatives"] @ unit(q)]) / 0.5
        for q, p in zip(query, given["document"], strict=True)
    ]
    expected = functional.cross_entropy(torch.stack(logits), torch.zeros(4, dtype=torch.int64))
    torch.testing.assert_close(found, expected)
