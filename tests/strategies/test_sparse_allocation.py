"""Sparse allocation against the method written out, and its measurements by hand."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import trainwright
from trainwright.engine import EngineSettings, NamedModel, TrainModule
from trainwright.engine.local import LocalEngine
from trainwright.errors import InputError
from trainwright.models import MLP, SparseAutoencoder
from trainwright.objective import Term, WeightedSum
from trainwright.strategy import Context
from trainwright.training.feed import Update
from trainwright.training.update import Updater
from trainwright_strategies.layers.allocation import zipf_counts
from trainwright_strategies.layers.auxiliary_codes import zipf_density
from trainwright_strategies.sparse_allocation import SparseAllocation

STEPS, SIZE, FEATURES, K, DECAY = 5, 24, 20, 3, 0.37


def batch(index: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(index)
    x = torch.randn(SIZE, 6, generator=generator)
    return {"x": x, "sample_id": torch.arange(SIZE), "busy": x.abs().sum(1, keepdim=True)}


def trained(micro: int = SIZE, **options: Any) -> tuple[SparseAllocation, nn.Module, nn.Module]:
    """The strategy and the model after five updates, and the model before them."""
    torch.manual_seed(0)
    strategy = SparseAllocation(k=K, decay=DECAY, **options)
    context = Context(seed=0, total_steps=STEPS)
    model = strategy.model(SparseAutoencoder(6, FEATURES), context)
    model.encoder.bias.data[:4] -= 1.0  # these lose at first
    began = copy.deepcopy(model)
    terms = WeightedSum(
        [Term(nn.MSELoss(), "mse", bind={"input": "reconstruction", "target": "x"})]
    )
    module = TrainModule(NamedModel(model), strategy.objective(terms))
    engine = LocalEngine(module, torch.optim.SGD(module.parameters(), lr=0.5), EngineSettings())
    updater = Updater(engine, terms, [strategy])
    module.train()
    for index in range(STEPS):
        context.update = index
        whole = batch(index)
        parts = [
            {name: column[low : low + micro] for name, column in whole.items()}
            for low in range(0, SIZE, micro)
        ]
        updater(Update(index, 0, SIZE, parts, (0, SIZE)), [0.5])
    return strategy, model, began


class WrittenOut:
    """The method in float64 with masks by sorting lists of (value, row, column)."""

    def __init__(self, model: nn.Module, options: dict[str, Any]) -> None:
        self.model, self.options = model.double(), options
        self.density, self.idle = [0.0] * FEATURES, [0] * FEATURES
        self.thresholds: dict[int, float] = {}

    def train(self) -> dict[str, Tensor]:
        parameters = dict(self.model.named_parameters())
        for index in range(STEPS):
            gradients = torch.autograd.grad(self._loss(index), list(parameters.values()))
            with torch.no_grad():
                for parameter, gradient in zip(parameters.values(), gradients, strict=True):
                    parameter -= 0.5 * gradient
        return {name: parameter.detach() for name, parameter in parameters.items()}

    def _loss(self, index: int) -> Tensor:
        m, x = self.model, batch(index)["x"].double()
        directions = m.decoder.weight / m.decoder.weight.norm(dim=1, keepdim=True)
        affinities = ((x - m.centre) @ m.encoder.weight.T + m.encoder.bias).clamp(min=0)
        order = sorted(range(FEATURES), key=lambda i: -self.density[i])
        ranks = {feature: rank for rank, feature in enumerate(order)}
        mask = self._mask(affinities.detach().numpy(), index, ranks)
        residual = x - (affinities * mask) @ directions - m.centre
        loss = residual.square().mean()
        need = self._need(ranks)
        self._note(affinities.detach(), mask, index)
        if need is None or not need.any():
            return loss
        weighted = affinities * need
        kept = weighted.detach().topk(2, dim=1).values[:, -1:]
        auxiliary = (weighted * (weighted >= kept)) @ directions
        return loss + self.options["weight"] * (residual.detach() - auxiliary).square().mean()

    def _mask(self, values: Any, index: int, ranks: dict[int, int]) -> Tensor:
        rule = self.options["allocation"]
        if index < self.options.get("warmup", 0) * STEPS:
            rule = "mutual_choice"
        counts = zipf_counts(K * SIZE, FEATURES, 1.0, SIZE).tolist()
        left: dict[Any, float] = {
            "token_choice": dict.fromkeys(range(SIZE), K),
            "mutual_choice": {0: K * SIZE},
            "feature_choice": {i: counts[ranks[i]] for i in range(FEATURES)},
        }[rule]
        mask = torch.zeros(SIZE, FEATURES, dtype=torch.bool)
        for value, row, column in sorted(
            ((v, r, c) for (r, c), v in np.ndenumerate(values)), reverse=True
        ):
            owner = {"token_choice": row, "mutual_choice": 0, "feature_choice": column}[rule]
            if value > 0 and left[owner] > 0:
                left[owner] -= 1
                mask[row, column] = True
        return mask

    def _need(self, ranks: dict[int, int]) -> Tensor | None:
        if self.options.get("aux", "none") == "none":
            return None
        if self.options["aux"] == "aux_k":
            return torch.tensor([float(i >= self.options["dead_after"]) for i in self.idle])
        wanted = zipf_density(K, FEATURES, 1.0).tolist()
        shares = [1 - self.density[i] / wanted[ranks[i]] for i in range(FEATURES)]
        return torch.tensor([max(0.0, share) for share in shares])

    def _note(self, affinities: Tensor, mask: Tensor, index: int) -> None:
        share = max(1 - DECAY, 1 / (index + 1))
        for i in range(FEATURES):
            fired = int(mask[:, i].sum())
            self.density[i] += share * (fired / SIZE - self.density[i])
            self.idle[i] = 0 if fired else self.idle[i] + SIZE
            if fired:
                smallest = float(affinities[mask[:, i], i].min())
                old = self.thresholds.get(i, smallest)
                self.thresholds[i] = old + share * (smallest - old)


OPTIONS = {
    "token": {"allocation": "token_choice"},
    "mutual": {"allocation": "mutual_choice"},
    "feature": {"allocation": "feature_choice"},
    "warm": {"allocation": "feature_choice", "warmup": 0.5},
    "aux_k": {"allocation": "mutual_choice", "aux": "aux_k", "weight": 2.0, "dead_after": 30},
    "aux_zipf": {"allocation": "feature_choice", "aux": "aux_zipf", "weight": 2.0},
}


@pytest.mark.parametrize("micro", [SIZE, 7])
@pytest.mark.parametrize("name", OPTIONS)
def test_training_follows_the_method_written_out(name: str, micro: int) -> None:
    strategy, model, began = trained(micro, aux_k=2, **OPTIONS[name])
    reference = WrittenOut(began, OPTIONS[name])
    wanted = reference.train()
    for parameter_name, parameter in model.named_parameters():
        torch.testing.assert_close(
            parameter.detach().double(), wanted[parameter_name], rtol=1e-5, atol=1e-5
        )
    selection = strategy._selection
    assert selection.density.tolist() == pytest.approx(reference.density, abs=1e-5)
    assert selection.idle.tolist() == reference.idle
    if len(selection.threshold) > 1:
        known = [reference.thresholds.get(i, torch.inf) for i in range(FEATURES)]
        assert selection.threshold.tolist() == pytest.approx(known, abs=1e-5)


@pytest.mark.parametrize("micro", [SIZE, 7])
def test_histograms_of_an_epoch_are_of_features_and_of_tokens(micro: int) -> None:
    strategy, _, _ = trained(micro)
    strategy.epoch_end(0)
    found = strategy._context.attachments.histograms
    assert found["strategy/log10_density"].shape == (FEATURES,)
    assert found["strategy/l0"].shape == (SIZE,)
    assert found["strategy/l0"].sum() == K * SIZE, "all of the budget, unevenly"
    assert found["strategy/l0"].std() > 0.5


def test_the_written_out_forms_differ() -> None:
    ends = [
        WrittenOut(trained(**options)[2], options).train()["encoder.weight"]
        for options in OPTIONS.values()
    ]
    for position, one in enumerate(ends):
        assert all((one - other).abs().max() > 1e-3 for other in ends[:position])


class Measured:
    """An evaluation of two batches."""

    split = "validation"

    def __init__(self, model: nn.Module) -> None:
        self.model = model.eval()

    def batches(self) -> Any:
        for index in (7, 8):
            with torch.no_grad():
                yield batch(index), self.model(batch(index)["x"])

    def sum(self, value: Tensor) -> Tensor:
        return value.double()


def test_measurements_by_hand() -> None:
    strategy, model, _ = trained(allocation="mutual_choice", activity="busy")
    found = strategy.evaluate(Measured(model))
    batches = list(Measured(model).batches())
    x = torch.cat([b["x"] for b, _ in batches]).double()
    codes = torch.cat([o["codes"] for _, o in batches])
    errors = x - torch.cat([o["reconstruction"] for _, o in batches])
    l0 = (codes > 0).sum(dim=1).double()
    busy = torch.cat([b["busy"] for b, _ in batches])[:, 0].double()
    assert found["nmse"] == pytest.approx(
        float(errors.square().sum() / (x - x.mean(0)).square().sum())
    )
    assert found["l0"] == pytest.approx(float(l0.mean()))
    assert found["l0_std"] == pytest.approx(float(l0.std(correction=0)))
    correlation = float(torch.corrcoef(torch.stack([l0, busy]))[0, 1])
    assert found["l0_correlation"] == pytest.approx(correlation, abs=1e-6)
    assert found["unused_share"] == pytest.approx(float((codes.sum(0) == 0).double().mean()))
    assert found["empty_share"] == pytest.approx(float((l0 == 0).double().mean()))


def test_token_choice_has_no_spread_to_correlate() -> None:
    strategy, model, _ = trained(allocation="token_choice", activity="busy")
    found = strategy.evaluate(Measured(model))
    assert (found["l0"], found["l0_std"], found["l0_correlation"]) == (K, 0, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"allocation": "choice"}, "allocation must be one of token_choice, .*got 'choice'"),
        ({"aux": "zipf"}, "aux must be one of none, aux_k, aux_zipf, got 'zipf'"),
        ({"k": 0}, "k must be a whole number of at least 1, got 0"),
        ({"k": 2.5}, "k must be a whole number of at least 1, got 2.5"),
        ({"aux_k": -1}, "aux_k must be a whole number of at least 1, got -1"),
        ({"dead_after": 0}, "dead_after must be a whole number"),
        ({"zipf_exponent": -0.1}, "zipf_exponent and weight must be numbers of at least 0"),
        ({"weight": float("nan")}, "numbers of at least 0, got 1.0 and nan"),
        ({"decay": 1.0}, r"must lie in \[0, 1\), got 0.0 and 1.0"),
        ({"allocation": "feature_choice", "warmup": 1.0}, r"must lie in \[0, 1\)"),
        ({"warmup": 0.5}, "warmup prepares for feature_choice, got allocation 'mutual_choice'"),
    ],
)
def test_refused_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SparseAllocation(**options)


def test_models_and_objectives_that_do_not_fit() -> None:
    context = Context(seed=0)
    with pytest.raises(ValueError, match="no encoder, decoder and selection"):
        SparseAllocation().model(MLP(6, 4), context)
    with pytest.raises(ValueError, match="k is 32, but the model has 20 features"):
        SparseAllocation().model(SparseAutoencoder(6, 20), context)
    coupled = nn.MSELoss()
    coupled.couples = "batch"
    with pytest.raises(ValueError, match="couples the batch"):
        SparseAllocation().objective(coupled)


def test_a_column_that_is_not_there_is_told_before_training(tmp_path: Path) -> None:
    job = {
        "name": "sparse",
        "data": {"source": "synthetic_dictionary", "validation": 0.2},
        "model": {"name": "sparse_autoencoder", "num_features": 40},
        "objective": {"name": "mse", "bind": {"input": "reconstruction", "target": "features"}},
        "strategies": [{"name": "sparse_allocation", "k": 4, "activity": "num_activ"}],
        "cluster": {"workers": 0},
        "storage": str(tmp_path),
    }
    with pytest.raises(InputError, match="no column 'num_activ'"):
        trainwright.validate(job)
