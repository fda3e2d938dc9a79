"""PA&DA in whole runs against a plain loop, and with its parts left out."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

from trainwright.data.loading import load_splits
from trainwright.data.order import epoch_order
from trainwright.errors import InputError
from trainwright.job import Job
from trainwright.storage import Folder
from trainwright.strategy import Context
from trainwright.testing import Rig
from trainwright.testing.trace import differences
from trainwright.tracking import read_all
from trainwright.training.assembly import assemble
from trainwright_strategies.importance import draw
from trainwright_strategies.residual_supernet import ResidualSupernet

EPOCHS, BATCH, LIMIT, RATE = 4, 15, 1.5, 0.1
PER_CLASS = 6


def job(*strategies: Any, **changes: Any) -> dict[str, Any]:
    return {
        "name": "pada",
        "data": {
            "source": {"name": "digits", "options": {"per_class": [PER_CLASS] * 10}},
            "batch_size": BATCH,
        },
        "model": {"name": "residual_supernet", "options": {"edges": 2}},
        "objective": {"name": "cross_entropy"},
        "strategies": list(strategies),
        "optimizer": {"name": "sgd", "options": {"lr": RATE, "momentum": 0.9}},
        "training": {"epochs": EPOCHS, "checkpoint_every": "100 epochs", "max_grad_norm": LIMIT},
        **changes,
    }


def samples() -> tuple[Tensor, Tensor]:
    digits = load_digits()
    kept = sorted(i for k in range(10) for i in (digits.target == k).nonzero()[0][:PER_CLASS])
    images = torch.tensor(digits.images[kept] / 16.0).float()
    return images, torch.tensor(digits.target[kept])


def mixed(scores: list[float], tau: float) -> Tensor:
    total = sum(scores)
    return torch.tensor(
        [tau * s / total + (1 - tau) / len(scores) for s in scores], dtype=torch.float64
    )


def untrained(whole: Job) -> ResidualSupernet:
    """The model that a run of the job starts from."""
    splits = load_splits(whole.spec.data, base=whole.base, workers=0, seed=0)
    return assemble(whole.spec, whole.base, splits, Context(seed=0)).module.model.model


class PlainPada:
    """The algorithm in plain PyTorch, number by number; random numbers are the strategy's."""

    def __init__(self, model: ResidualSupernet, unbiased: bool) -> None:
        self.model, self.unbiased = model, unbiased
        self.x, self.y = samples()
        self.size, self.num_operations = len(self.x), len(model.space.operations)
        self.optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9)
        self.context = Context(seed=0)
        self.operations = [1 / self.num_operations] * self.num_operations

    def train(self) -> None:
        order = epoch_order(self.size, 0, 0).tolist()
        weights = [1.0] * self.size
        for epoch in range(EPOCHS):
            values, scores, seen = [0.0] * self.num_operations, [0.0] * self.size, set()
            for start in range(0, self.size, BATCH):
                rows = order[start : start + BATCH]
                found = self.update(rows, weights[start : start + BATCH], values)
                for row, score in zip(rows, found, strict=True):
                    scores[row] = (scores[row] + score) / 2 if row in seen else score
                    seen.add(row)
                self.context.update += 1
            self.operations = mixed(values, epoch / EPOCHS).tolist()
            given = epoch_order(self.size, 0, epoch + 1).tolist()
            q = mixed([scores[row] for row in given], epoch / EPOCHS)
            places = draw(q, self.size, self.context.rng("data_importance_sampling")).tolist()
            order = [given[place] for place in places]
            if self.unbiased:
                weights = [1 / (self.size * float(q[place])) for place in places]

    def update(self, rows: list[int], weights: list[float], values: list[float]) -> list[float]:
        p = torch.tensor(self.operations, dtype=torch.float64)
        path = tuple(draw(p, 2, self.context.rng("path_sampling")).tolist())
        self.model.path = path
        for parameter in self.model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        logits = self.model(self.x[rows])["logits"]
        losses = functional.cross_entropy(logits, self.y[rows], reduction="none")
        (losses * torch.tensor(weights)).mean().backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), LIMIT)
        self.optimizer.step()
        for operation in set(path):
            places = [e for e in range(2) if path[e] == operation]
            norm = 0.0
            for edge in places:
                chosen = self.model.edges[edge].operations[self.model.space.operations[operation]]
                norm += sum(float(weight.grad.norm()) for weight in chosen.parameters())
            if norm:
                values[operation] = (values[operation] + norm / len(places)) / 2
        away = logits.detach().softmax(1) - functional.one_hot(self.y[rows], 10)
        return [math.sqrt(float((row**2).sum())) for row in away]


@pytest.mark.parametrize("unbiased", [False, True])
def test_a_run_is_the_algorithm_in_plain_pytorch(unbiased: bool, tmp_path: Path) -> None:
    values = job({"name": "pada", "options": {"unbiased": unbiased}})
    with Rig(tmp_path) as rig:
        model = untrained(rig.job(values))
        plain = PlainPada(model, unbiased)
        plain.train()
        trace = rig.train(values)
    state = trace.strategies["pada"]["paths"]
    torch.testing.assert_close(
        state["probabilities"][0], torch.tensor(plain.operations).double(), rtol=1e-4, atol=1e-6
    )
    found = trace.weights()
    for name, value in model.named_parameters():
        torch.testing.assert_close(found[f"model.{name}"], value.detach(), rtol=1e-3, atol=1e-5)


def test_without_both_parts_it_is_uniform_path_sampling(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        plain = rig.train(job({"name": "uniform_path_sampling"}))
        neither = rig.train(job({"name": "pada", "options": {"use_pa": False, "use_da": False}}))
        assert list(differences(plain, neither, only_known=True)) == []
        for part in ("use_pa", "use_da"):
            one = rig.train(job({"name": "pada", "options": {part: False}}))
            assert list(differences(plain, one, only_known=True)), part
        alone = rig.train(job({"name": "path_importance_sampling"}))
        one = rig.train(job({"name": "pada", "options": {"use_da": False}}))
        assert list(differences(alone, one, only_known=True)) == []
        both = rig.train(
            job({"name": "uniform_path_sampling"}, {"name": "data_importance_sampling"})
        )
        one = rig.train(job({"name": "pada", "options": {"use_pa": False}}))
        assert list(differences(both, one, only_known=True)) == []


def test_a_restart_takes_the_same_paths_and_samples(tmp_path: Path) -> None:
    often = {"epochs": EPOCHS, "checkpoint_every": "3 steps", "max_grad_norm": LIMIT}
    values = job({"name": "pada"}, training={**often, "record_samples": True})
    with Rig(tmp_path) as rig:
        whole = rig.train(values)
        checkpoint = whole.checkpoints[0]
        after = int(checkpoint.split("-")[1])
        assert after % 4, "in the middle of an epoch"
        again = rig.train(values, start_from=(whole.url, checkpoint))
        assert list(differences(whole, again, after=after)) == []
        assert samples_of(whole.url, after) == samples_of(again.url, after) != {}


def samples_of(url: str, after: int) -> dict[int, list[int]]:
    """The samples of each update after one of them."""
    rows = read_all(Folder(url))
    return {
        row["step"]: row["ids"] for row in rows if row["kind"] == "samples" and row["step"] > after
    }


@pytest.mark.parametrize(
    ("strategies", "message"),
    [
        (["pada", "uniform_path_sampling"], "an update has one path"),
        (["pada", "data_importance_sampling"], "pada draws samples itself"),
        (["uniform_path_sampling", "path_importance_sampling"], "an update has one path"),
        (["fair_path_sampling", "uniform_path_sampling"], "an update has one path"),
    ],
)
def test_two_who_choose_are_refused(strategies: list[str], message: str, tmp_path: Path) -> None:
    with Rig(tmp_path) as rig, pytest.raises(InputError, match=message):
        rig.prepare(job(*({"name": name} for name in strategies)))


def test_clip_norm_stands_for_the_jobs_own(tmp_path: Path) -> None:
    training = {"epochs": EPOCHS, "checkpoint_every": "100 epochs"}
    with Rig(tmp_path) as rig:
        own = rig.train(job({"name": "pada"}))
        given = rig.train(job({"name": "pada", "options": {"clip_norm": LIMIT}}, training=training))
        assert list(differences(own, given)) == []
