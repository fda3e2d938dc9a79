"""Shares of the global batch where a loss does not average over samples."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from trainwright.objective import Term, WeightedSum
from trainwright.training import update as module
from trainwright.training.update import Updater
from trainwright_objectives.causal_lm import CausalLM

OTHER_WORKER = 5.0


def test_counts_of_all_workers_are_waited_for_when_a_loss_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []

    def begin(values: Tensor, device: torch.device) -> Any:
        told.append("begun")

        def end() -> Tensor:
            told.append("waited")
            return values + OTHER_WORKER

        return end

    monkeypatch.setattr(module, "begin_sum_over_workers", begin)
    updater = Updater.__new__(Updater)
    updater.engine = SimpleNamespace(settings=SimpleNamespace(device=torch.device("cpu")))
    updater._terms = WeightedSum([Term(CausalLM(), "causal_lm")])
    updater._needs_counts = True
    targets = torch.tensor([[1, 2, -100]]), torch.tensor([[1, -100, -100]])
    shares = updater._shares([{"target": target} for target in targets], 4)
    assert told == ["begun"]
    assert [share.counts[0] for share in shares if share.counts] == [2 / 8, 1 / 8]
    assert told == ["begun", "waited"]
    assert [share.samples for share in shares] == [1 / 4, 1 / 4]


def test_nothing_that_counts_anywhere_is_no_division_by_zero() -> None:
    ratios = module._Ratios(torch.zeros(1, dtype=torch.float64), lambda: torch.zeros(1))
    assert ratios[0] == 0.0
