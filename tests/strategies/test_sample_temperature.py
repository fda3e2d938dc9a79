"""Temperatures kept per sample: as by hand, untouched by scores, higher for wrong labels."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trainwright_objectives.aldr_kl import AldrKL
from trainwright_strategies.sample_temperature import SampleTemperature

SAMPLES = 12
BATCHES = ((0, 5), (5, 12), (3, 9), (0, 5))


def data(size: int = SAMPLES) -> dict[str, torch.Tensor]:
    return {
        "x": torch.randn(size, 6),
        "target": torch.randint(4, (size,)),
        "sample_id": torch.randperm(size),
    }


def started(training, objective, strategy: SampleTemperature, size: int = SAMPLES):
    run = training(nn.Linear(6, 4), objective, strategy, num_samples=size)
    return run, run.context.table("sample_temperature", init=strategy._aldr_kl.temperature)


def part(batch: dict[str, torch.Tensor], low: int, high: int) -> dict[str, torch.Tensor]:
    return {name: column[low:high] for name, column in batch.items()}


@pytest.mark.parametrize("num_steps", [1, 2])
def test_against_a_loop_by_hand(training, num_steps: int) -> None:
    objective = AldrKL(1.0)
    run, table = started(training, objective, SampleTemperature(num_steps))
    known = dict.fromkeys(range(SAMPLES), torch.ones(1))
    whole = data()
    for low, high in BATCHES:
        batch = part(whole, low, high)
        value = run.compute(batch).value
        run.context.tables.settle()
        expected = []
        for row in range(high - low):
            one = part(batch, row, row + 1)
            logits, name = run.model(one["x"]), int(one["sample_id"])
            known[name] = objective.temperatures(logits, one["target"], known[name], num_steps)
            expected.append(objective(logits, one["target"], known[name])["loss"])
        torch.testing.assert_close(value, torch.stack(expected).mean())
    torch.testing.assert_close(table.values, torch.cat([known[i] for i in range(SAMPLES)]))
    assert table.values.std() > 0.01


def test_the_mean_temperature_is_recorded(training) -> None:
    run, table = started(training, AldrKL(1.0), SampleTemperature())
    loss = run.compute(data())
    run.context.tables.settle()
    torch.testing.assert_close(loss.logged["objective0/temperature"], table.values.mean())


def test_one_loss_per_sample_at_its_own_temperature(training) -> None:
    run, _ = started(training, AldrKL(1.0), SampleTemperature())
    batch = data()
    each = run.compute.per_sample(batch)
    torch.testing.assert_close(each.mean(), run.compute(batch).value)


def test_scores_leave_the_table_alone(training) -> None:
    run, table = started(training, AldrKL(1.0), SampleTemperature())
    with torch.no_grad():
        run.compute.per_sample(data())
    run.context.tables.settle()
    assert (table.values == 1.0).all()


@pytest.mark.parametrize("objective", [nn.CrossEntropyLoss(), [AldrKL(), AldrKL(1.0)]])
def test_it_needs_one_aldr_kl(training, objective) -> None:
    with pytest.raises(ValueError, match=r"of one objective aldr_kl, and the job has (none|2)"):
        training(nn.Linear(6, 4), objective, SampleTemperature())


def test_one_aldr_kl_among_others(training) -> None:
    strategy = SampleTemperature()
    run, _ = started(training, [nn.CrossEntropyLoss(), AldrKL(1.0)], strategy)
    assert run.compute(data()).logged.keys() > {"objective0", "objective1"}


def test_what_is_not_there(training) -> None:
    run, _ = started(training, AldrKL(1.0), SampleTemperature(output="scores"))
    with pytest.raises(ValueError, match="no output 'scores'; it gives logits"):
        run.compute(data())
    run, _ = started(training, AldrKL(1.0), SampleTemperature(target="label"))
    with pytest.raises(ValueError, match="no column 'label'; it has x, target"):
        run.compute(data())


@pytest.mark.parametrize("num_steps", [0, 1.5, True])
def test_ill_number_of_steps(num_steps) -> None:
    with pytest.raises(ValueError, match="whole number of at least 1"):
        SampleTemperature(num_steps)


def test_wrong_labels_keep_a_higher_temperature(training) -> None:
    """The mechanism that the paper names, on classes that can be told apart."""
    size = 300
    centres = 2.0 * torch.randn(4, 6)
    right = torch.arange(size) % 4
    wrong = torch.arange(size) % 10 < 3
    batch = {
        "x": centres[right] + torch.randn(size, 6),
        "target": torch.where(wrong, (right + 1) % 4, right),
        "sample_id": torch.arange(size),
    }
    strategy = SampleTemperature()
    run, table = started(training, AldrKL(1.0), strategy, size)
    optimizer = torch.optim.SGD(run.model.parameters(), lr=0.5, momentum=0.9)
    for _ in range(60):
        optimizer.zero_grad()
        run.compute(batch).value.backward()
        optimizer.step()
        run.context.tables.settle()
    gap = table.values[wrong].mean() - table.values[~wrong].mean()
    assert gap > 0.005
