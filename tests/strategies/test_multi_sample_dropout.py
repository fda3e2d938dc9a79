"""Multi-sample dropout against separate passes, worked variances, and ordinary dropout."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from trainwright.strategy import Loss, Strategy
from trainwright_strategies.multi_sample_dropout import MultiSampleDropout, repeat_dropout


class Net(nn.Module):
    """Body, dropout, head; one output from before and one from behind the dropout."""

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Dropout(0.0), nn.Linear(8, 8))
        self.dropout = nn.Dropout(p, inplace)
        self.head = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        h = self.body(x)
        return {"logits": self.head(self.dropout(h)), "embedding": h, "scale": x.abs().max()}


class Spread(nn.Module):
    """An objective that lets all samples interact."""

    couples = "batch"

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        pairs = (target[:, None] == target[None, :]).to(logits.dtype)
        return (
            torch.cdist(logits, logits).square() * (2 * pairs - 1)
        ).mean() + logits.square().mean()


class Pull(nn.Module):
    """An objective on outputs from before and behind the dropout."""

    def forward(self, logits: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        return (logits - embedding[:, :4]).square().mean()


def batch_of(size: int = 5, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    return {"x": torch.randn(size, 6, dtype=dtype), "target": torch.randint(4, (size,))}


def replayed(run, batch: dict[str, torch.Tensor], num_samples: int) -> list[dict]:
    """Outputs of the model for each dropout sample, from the very masks that ``run`` will draw."""
    state = torch.get_rng_state()
    outputs = run.model(batch["x"])
    torch.set_rng_state(state)
    size = len(batch["x"])
    return [
        {
            name: value[j * size : (j + 1) * size] if value.dim() and len(value) > size else value
            for name, value in outputs.items()
        }
        for j in range(num_samples)
    ]


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("p", [None, 0.5])
def test_one_sample_is_ordinary_dropout_bit_for_bit(training, inplace, p) -> None:
    model = Net(inplace=inplace)
    batch = batch_of()
    plain = training(copy.deepcopy(model), nn.CrossEntropyLoss())
    multi = training(model, nn.CrossEntropyLoss(), MultiSampleDropout(num_samples=1, p=p))
    results = []
    for run in (plain, multi):
        torch.manual_seed(3)
        results.append(run.gradient(batch))
    (value, grads), (multi_value, multi_grads) = results
    assert torch.equal(value, multi_value)
    assert all(torch.equal(a, b) for a, b in zip(grads.values(), multi_grads.values(), strict=True))


def test_neutral_setting_is_declared() -> None:
    model = Net()
    neutral = MultiSampleDropout(**MultiSampleDropout.declares.neutral)
    assert repeat_dropout(model, neutral.num_samples, neutral.p, neutral.layer) is model
    assert isinstance(model.dropout, nn.Dropout)


@pytest.mark.parametrize("num_samples", [2, 5])
def test_rate_zero_equals_no_dropout(training, num_samples: int) -> None:
    model, batch = Net().double(), batch_of(dtype=torch.float64)
    without = copy.deepcopy(model)
    without.dropout = nn.Identity()
    with pytest.warns(UserWarning, match=f"all {num_samples} dropout samples are the same"):
        multi = training(model, nn.CrossEntropyLoss(), MultiSampleDropout(num_samples, p=0.0))
    value, grads = multi.gradient(batch)
    expected, expected_grads = training(without, nn.CrossEntropyLoss()).gradient(batch)
    torch.testing.assert_close(value, expected, atol=1e-7, rtol=0)
    for name, gradient in expected_grads.items():
        torch.testing.assert_close(grads[name], gradient, atol=1e-7, rtol=0)


@pytest.mark.parametrize("num_samples", [2, 8])
def test_loss_is_the_mean_over_the_dropout_samples(training, num_samples: int) -> None:
    batch = batch_of(dtype=torch.float64)
    run = training(Net().double(), nn.CrossEntropyLoss(), MultiSampleDropout(num_samples))
    samples = replayed(run, batch, num_samples)
    losses = [functional.cross_entropy(o["logits"], batch["target"]) for o in samples]
    assert len({round(loss.item(), 9) for loss in losses}) == num_samples
    run.model.zero_grad()
    torch.stack(losses).mean().backward()
    expected = {name: p.grad.clone() for name, p in run.model.named_parameters()}
    value, grads = run.gradient(batch)
    torch.testing.assert_close(value, torch.stack(losses).mean(), atol=1e-7, rtol=0)
    for name, gradient in expected.items():
        torch.testing.assert_close(grads[name], gradient, atol=1e-12, rtol=1e-10)


def test_model_runs_once_and_a_coupling_objective_once_per_sample(training) -> None:
    for objective, calls in ((nn.CrossEntropyLoss(), 1), (Spread(), 4)):
        run = training(Net(), objective, MultiSampleDropout(4))
        bodies = []
        run.model.body.register_forward_hook(lambda *_, seen=bodies: seen.append(1))
        run.gradient(batch_of())
        assert (run.plain.forwards, run.plain.losses, len(bodies)) == (1, calls, 1)


def test_coupling_objective_sees_one_dropout_sample_at_a_time(training) -> None:
    batch = batch_of(dtype=torch.float64)
    run = training(Net().double(), Spread(), MultiSampleDropout(3))
    samples = replayed(run, batch, 3)
    expected = torch.stack([Spread()(o["logits"], batch["target"]) for o in samples]).mean()
    value, _ = run.gradient(batch)
    torch.testing.assert_close(value, expected.detach())
    flat = Spread()(torch.cat([o["logits"] for o in samples]), batch["target"].repeat(3))
    assert (flat - expected).abs() > 1e-3


def test_summing_objective_does_not_count_a_sample_several_times(training) -> None:
    batch = batch_of(dtype=torch.float64)
    run = training(Net().double(), nn.CrossEntropyLoss(reduction="sum"), MultiSampleDropout(3))
    samples = replayed(run, batch, 3)
    each = [
        functional.cross_entropy(o["logits"], batch["target"], reduction="sum") for o in samples
    ]
    value, _ = run.gradient(batch)
    torch.testing.assert_close(value, torch.stack(each).mean().detach())


def test_weighted_classes_and_sums_of_objectives(training) -> None:
    batch = batch_of(dtype=torch.float64)
    weight = torch.tensor([1.0, 2.0, 0.5, 3.0], dtype=torch.float64)
    weighted = nn.CrossEntropyLoss(weight=weight)
    run = training(Net().double(), [weighted, Pull()], MultiSampleDropout(3))
    samples = replayed(run, batch, 3)
    first = [weighted(o["logits"], batch["target"]) for o in samples]
    second = [Pull()(o["logits"], o["embedding"]) for o in samples]
    loss = run.compute(batch)
    expected = torch.stack([*first, *second]).view(2, 3).mean(1)
    torch.testing.assert_close(loss.value, expected.sum())
    torch.testing.assert_close(loss.logged["objective0"], expected[0].detach())
    torch.testing.assert_close(loss.logged["objective1"], expected[1].detach())


def test_logged_terms_of_a_coupling_objective_are_averaged(training) -> None:
    run = training(Net(), [Spread(), nn.CrossEntropyLoss()], MultiSampleDropout(3))
    loss = run.compute(batch_of())
    assert loss.logged.keys() == {"objective0", "objective1"}
    torch.testing.assert_close(loss.value.detach(), sum(loss.logged.values()))


def test_loss_of_the_averaged_outputs_is_smaller(training) -> None:
    for seed in range(20):
        torch.manual_seed(seed)
        batch = batch_of()
        run = training(Net(), nn.CrossEntropyLoss(), MultiSampleDropout(8))
        logits = torch.stack([o["logits"] for o in replayed(run, batch, 8)])
        of_mean = functional.cross_entropy(logits.mean(dim=0), batch["target"])
        assert of_mean <= run.compute(batch).value


class _Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.dropout(x)


class _Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dropout(self.dropout(x))


class _Unused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (_Residual(), "inside a residual branch .* name one after the last addition"),
        (_Twice(), "must have 5 rows.* or 20.* the model gave .*80.* applied exactly once"),
        (_Unused(), "must have 5 rows.* the model gave .*5.* applied exactly once"),
    ],
)
def test_layers_that_cannot_be_repeated(training, model: nn.Module, message: str) -> None:
    run = training(
        nn.Sequential(nn.Linear(6, 4), model), nn.CrossEntropyLoss(), MultiSampleDropout(4)
    )
    with pytest.raises(ValueError, match=message):
        run.compute(batch_of())


def test_other_failures_of_the_model_pass_through(training) -> None:
    run = training(Net(), nn.CrossEntropyLoss(), MultiSampleDropout(4))
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        run.compute({"x": torch.randn(5, 7), "target": torch.zeros(5, dtype=torch.long)})


@pytest.mark.parametrize("num_samples", [0, -1, 1.5, True])
def test_ill_number_of_samples(num_samples) -> None:
    with pytest.raises(ValueError, match="whole number of at least 1"):
        MultiSampleDropout(num_samples)


@pytest.mark.parametrize("p", [-0.1, 1.0, 1.5])
def test_ill_rate(p: float) -> None:
    with pytest.raises(ValueError, match=r"p must be None or in \[0, 1\)"):
        MultiSampleDropout(p=p)


class _Mixup(Strategy):
    """Runs the forward pass itself, then hands the outputs on."""

    def loss(self, batch, compute) -> Loss:
        return compute(batch, compute.forward(batch))


class _Columns(Strategy):
    """Looks at the batch that the strategies inside of another one see."""

    def loss(self, batch, compute) -> Loss:
        self.seen = {name: tuple(column.shape) for name, column in batch.items()}
        return compute(batch)


def test_outputs_given_by_a_strategy_further_out(training) -> None:
    batch = batch_of()
    values = []
    for strategies in ([MultiSampleDropout(4)], [_Mixup(), MultiSampleDropout(4)]):
        torch.manual_seed(5)
        run = training(Net(), nn.CrossEntropyLoss(), *strategies)
        values.append(run.compute(batch).value)
        assert run.plain.forwards == 1
    assert torch.equal(*values)


def test_strategies_further_in_see_all_rows(training) -> None:
    columns = _Columns()
    training(Net(), nn.CrossEntropyLoss(), MultiSampleDropout(4), columns).compute(batch_of())
    assert columns.seen == {"x": (20, 6), "target": (20,)}


def test_a_strategy_further_out_gets_one_loss_per_sample(training) -> None:
    class Weighing(Strategy):
        def loss(self, batch, compute):
            self.each = compute.per_sample(batch)
            return Loss(self.each.mean())

    outer, inner = Weighing(), MultiSampleDropout(5)
    model, batch = Net(), batch_of()
    alone = training(copy.deepcopy(model), nn.CrossEntropyLoss(), inner)
    both = training(model, nn.CrossEntropyLoss(), outer, inner)
    torch.manual_seed(1)
    expected, _ = alone.gradient(batch)
    torch.manual_seed(1)
    value, _ = both.gradient(batch)
    assert outer.each.shape == batch["target"].shape
    torch.testing.assert_close(value, expected)
