"""The repeating dropout layer, and putting it into a model."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from trainwright_strategies.layers.repeating_dropout import RepeatingDropout
from trainwright_strategies.multi_sample_dropout import repeat_dropout


class Net(nn.Module):
    """Body with a dropout of its own, dropout, head."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Dropout(0.0), nn.Linear(8, 8))
        self.dropout = nn.Dropout(0.5, inplace)
        self.head = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        h = self.body(x)
        return {"logits": self.head(self.dropout(h)), "embedding": h}


def test_a_model_that_reads_the_rate_finds_it() -> None:
    assert RepeatingDropout(nn.Dropout(0.3), 2).p == 0.3


def test_rows_are_sample_major_with_independent_masks() -> None:
    layer = RepeatingDropout(nn.Dropout(0.5), 3)
    x = torch.arange(1.0, 9.0).view(2, 4)
    big = layer(x.repeat(1, 500))
    assert big.shape == (6, 2000)
    values = big.view(3, 2, 2000)
    kept = values != 0
    for j in range(3):
        assert torch.equal(values[j][kept[j]], (2 * x.repeat(1, 500))[kept[j]])
    for a in range(6):
        for b in range(a):
            agreement = (kept.view(6, -1)[a] == kept.view(6, -1)[b]).float().mean()
            assert abs(agreement - 0.5) < 0.06, (a, b)


@pytest.mark.parametrize("num_samples", [1, 2, 4, 8])
def test_units_dropped_in_all_samples(num_samples: int) -> None:
    count = 100_000
    model = nn.Sequential(RepeatingDropout(nn.Dropout(0.5), num_samples))
    dropped = (model(torch.ones(1, count)) == 0).all(dim=0).float().mean().item()
    expected = 0.5**num_samples
    assert abs(dropped - expected) < 3 * (expected * (1 - expected) / count) ** 0.5


def test_inplace_dropout_leaves_what_comes_before_it() -> None:
    model = repeat_dropout(Net(inplace=True), 4)
    x = torch.randn(5, 6)
    outputs = model(x)
    assert outputs["embedding"].shape == (5, 8)
    assert torch.equal(outputs["embedding"], model.body(x))
    assert outputs["logits"].shape == (20, 4)


def test_last_dropout_is_the_default_and_others_can_be_named() -> None:
    default = repeat_dropout(Net(), 4)
    assert isinstance(default.dropout, RepeatingDropout)
    assert isinstance(default.body[2], nn.Dropout)
    named = repeat_dropout(Net(), 4, p=0.2, layer="body.2")
    assert isinstance(named.body[2], RepeatingDropout)
    assert named.body[2].dropout.p == 0.2
    assert named(torch.randn(3, 6))["embedding"].shape == (12, 8)
    assert "num_samples=4" in repr(named)


def test_evaluation_is_the_model_as_it_was() -> None:
    model = Net()
    x = torch.randn(5, 6)
    expected = model.eval()(x)
    for num_samples in (2, 8):
        multi = repeat_dropout(copy.deepcopy(model), num_samples).eval()
        state = torch.get_rng_state()
        torch.testing.assert_close(multi(x), expected, atol=0, rtol=0)
        assert torch.equal(torch.get_rng_state(), state)


def test_parameter_names_stay() -> None:
    names = list(Net().state_dict())
    assert list(repeat_dropout(Net(), 4).state_dict()) == names


def test_rate_of_a_shared_layer_is_not_changed_elsewhere() -> None:
    original = nn.Dropout(0.5)
    model = nn.Sequential(nn.Linear(2, 2), original)
    repeat_dropout(model, 2, p=0.1)
    assert original.p == 0.5
    assert model[1].dropout.p == 0.1


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (nn.Linear(2, 2), {}, r"no dropout layer.*give it an nn\.Dropout"),
        (Net(), {"layer": "dropuot"}, r"has: body\.2, dropout; nearest: dropout"),
        (Net(), {"layer": "head"}, "no dropout layer 'head'"),
        (nn.Sequential(nn.Dropout2d()), {}, r"no nn\.Dropout: name the layer to repeat, one of 0"),
    ],
)
def test_refused_models(model: nn.Module, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        repeat_dropout(model, 4, **options)


def test_expected_loss_of_a_linear_head() -> None:
    """E over masks of |W (m h / (1 - r)) - y|^2 = |W h - y|^2 + r / (1 - r) sum_d |W_d|^2 h_d^2."""
    rate, num_samples = 0.3, 4096
    head = nn.Linear(8, 3, bias=False).double()
    h, y = torch.randn(1, 8, dtype=torch.float64), torch.randn(1, 3, dtype=torch.float64)
    model = repeat_dropout(nn.Sequential(nn.Dropout(rate), head), num_samples)
    losses = (model(h) - y).square().sum(dim=1)
    penalty = rate / (1 - rate) * (head.weight.square().sum(0) * h[0].square()).sum()
    expected = (head(h) - y).square().sum() + penalty
    error = losses.std() / num_samples**0.5
    assert (losses.mean() - expected).abs() < 3 * error
    assert penalty > 10 * error
