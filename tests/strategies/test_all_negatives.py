"""All labels as negatives: divided among workers, against the whole, and against full batches."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainwright.strategy import Context
from trainwright.testing import Case, Rig, Setup
from trainwright_objectives.decoupled_softmax import DecoupledSoftmax
from trainwright_objectives.label_scores import LabelLoss
from trainwright_objectives.one_versus_all import OneVersusAll
from trainwright_objectives.soft_topk import SoftTopk
from trainwright_strategies.all_negatives import AllNegatives, _Shared, documents_of

LABELS = torch.tensor([3, 8, 0, 5, 11, 6, 9])
TARGET = torch.tensor(
    [
        [3, 5, -100, -100],
        [8, -100, -100, -100],
        [-100, -100, -100, -100],
        [88, 0, 6, -100],  # no document has the label 88
        [3, 0, 11, 9],  # all but one of the first worker's labels
        [77, -100, -100, -100],
    ]
)
OBJECTIVES = {
    "decoupled": (DecoupledSoftmax, {"temperature": 0.3}),
    "coupled": (DecoupledSoftmax, {"coupled": True, "reduction": "sum"}),
    "drawn": (DecoupledSoftmax, {"num_positives": 1}),
    "one versus all": (OneVersusAll, {"temperature": 0.3}),
    "top 2": (SoftTopk, {"k": 2, "temperature": 0.3}),
    "top k of positives": (SoftTopk, {"k": "positives", "num_positives": 2}),
}
PAIRS = {
    "data": {
        "source": {"name": "synthetic_retrieval", "options": {"num_labels": 40}},
        "batch_size": 40,
    },
    "model": {
        "name": "two_tower",
        "options": {
            "query": {"name": "mlp", "hidden": []},
            "document": {"name": "mlp", "hidden": [9]},
            "dim": 6,
        },
        "inputs": {"query": "query_features", "document": "document_features"},
    },
    "objective": {
        "name": "decoupled_softmax",
        "options": {"in_batch": True, "temperature": 0.2},
    },
}


def _case(name: str) -> tuple[LabelLoss, Tensor, Tensor]:
    kind, options = OBJECTIVES[name]
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(6, 4, dtype=torch.float64, generator=generator).requires_grad_()
    document = torch.randn(7, 4, dtype=torch.float64, generator=generator)
    torch.manual_seed(1)
    return kind(in_batch=True, **options), query, document


def _divided(name: str) -> tuple[Tensor, Tensor, Tensor]:
    import torch.distributed as dist

    gather, rank = Context(seed=0).gather, dist.get_rank()
    objective, query, document = _case(name)
    objective.gather = gather
    own = document[rank::2].requires_grad_()
    shared = _Shared.apply(query, gather)
    loss = objective(TARGET, query=shared, document=own, label=LABELS[rank::2])
    loss.backward()
    return loss.detach(), query.grad, own.grad / 2  # an update averages over the workers


@pytest.mark.parametrize("name", OBJECTIVES)
def test_two_workers_with_a_part_of_the_labels_each_find_the_whole(
    name: str, two_workers: Any
) -> None:
    objective, query, document = _case(name)
    loss = objective(TARGET, query=query, document=document.requires_grad_(), label=LABELS)
    loss.backward()
    assert loss.item() > 0.1
    for rank, (value, of_query, of_document) in enumerate(two_workers.run(_divided, name)):
        assert value.item() == pytest.approx(loss.item(), rel=1e-10)
        torch.testing.assert_close(of_query, query.grad, rtol=1e-8, atol=1e-10)
        torch.testing.assert_close(of_document, document.grad[rank::2], rtol=1e-8, atol=1e-10)


def test_the_first_row_of_each_label_is_its_document() -> None:
    label = torch.tensor([4, 4, 7, 1, 7, 9, 4, 2])
    batches = [{"label": label[i : i + 3], "row": torch.arange(8)[i : i + 3]} for i in (0, 3, 6)]
    assert documents_of(batches, "label")["row"].tolist() == [0, 2, 3, 5, 7]
    parts = [documents_of(batches, "label", part, 2)["row"].tolist() for part in (0, 1)]
    assert parts == [[0, 3, 7], [2, 5]]
    with pytest.raises(ValueError, match="the data has 5 labels: too few for 6 workers"):
        documents_of(batches, "label", 0, 6)
    with pytest.raises(ValueError, match="no column 'document'; it has label, row"):
        documents_of(batches, "document")
    with pytest.raises(ValueError, match="the data has 1 labels: too few for 1 workers"):
        documents_of([{"label": label[:2]}], "label")


@pytest.mark.parametrize("objective", ["decoupled_softmax", "soft_topk"])
def test_full_batches_train_alike_without_it(objective: str, tmp_path: Any) -> None:
    """A batch of all labels has all negatives anyway."""
    job = Case("strategies", "all_negatives", {}, PAIRS).job_with({"chunk_size": 7})
    job["objective"]["name"] = objective
    with Rig(tmp_path) as rig:
        found = rig.train(job, Setup()).curve("train/loss")
        expected = rig.train({**job, "strategies": []}, Setup()).curve("train/loss")
        assert found == pytest.approx(expected, rel=1e-5)
        assert found[0] > found[-1]
        job["data"]["batch_size"] = 8
        small = rig.train(job, Setup()).curve("train/loss")
        assert small[0] > 0.5 * expected[0]  # in the batch it would be that of 8 labels


def test_other_objectives() -> None:
    strategy = AllNegatives()
    for objective in (nn.CrossEntropyLoss(), DecoupledSoftmax()):
        with pytest.raises(ValueError, match="needs an objective over labels, such as"):
            strategy.objective(objective)


def test_ill_options() -> None:
    with pytest.raises(ValueError, match="chunk_size must be a whole number of at least 1, got 0"):
        AllNegatives(chunk_size=0)
