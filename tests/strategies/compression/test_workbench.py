"""Models at points of a space: divergence by hand, largest classes, dropped blocks, errors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainwright.procedure import Folder
from trainwright_strategies.compression.database import Database
from trainwright_strategies.compression.levels import Compression
from trainwright_strategies.compression.workbench import Workbench, kl_divergence

WHOLE = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
COMPRESSED = torch.tensor([[1.0, 0.5, -1.0], [0.0, 0.5, 0.5]])


def test_divergence_of_worked_logits() -> None:
    for row, expected in ((0, 0.171808), (1, 0.088663)):
        found = kl_divergence(WHOLE[row : row + 1], COMPRESSED[row : row + 1])
        assert float(found) == pytest.approx(expected, abs=1e-6)
    assert float(kl_divergence(WHOLE, COMPRESSED)) == pytest.approx(0.130236, abs=1e-6)
    assert float(kl_divergence(WHOLE, WHOLE)) == 0
    shifted = kl_divergence(WHOLE + torch.tensor([[50.0], [-9.0]]), COMPRESSED - 7)
    assert float(shifted) == pytest.approx(0.130236, abs=1e-5)


def test_divergence_of_sequences_leaves_the_last_position_out() -> None:
    whole, compressed = WHOLE[None].repeat(2, 1, 1), COMPRESSED[None].repeat(2, 1, 1)
    assert float(kl_divergence(whole, compressed)) == pytest.approx(0.171808, abs=1e-6)


def test_divergence_is_finite_in_half_precision_and_for_large_logits() -> None:
    whole = torch.tensor([[300.0, -300.0]], dtype=torch.bfloat16)
    found = kl_divergence(whole, -whole)
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(600, rel=0.01)


class Branch(nn.Module):
    """Gives two things, as attention does."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, str]:
        return self.linear(x), "weights"


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.branches = nn.ModuleList(Branch() for _ in range(3))
        self.blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        for branch, block in zip(self.branches, self.blocks, strict=True):
            change, said = branch(x)
            assert said == "weights"
            x = block(x + change)
        return x


class Run:
    """As much of a run as a workbench needs: 10 samples in batches of 4, squares as loss."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.whole = Branches()
        self.x = torch.randn(10, 4)

    def model(self) -> nn.Module:
        other = Branches()
        other.load_state_dict(self.whole.state_dict())
        return other

    def batches(self, split: str) -> Iterator[dict[str, Tensor]]:
        return ({"x": x} for x in self.x.split(4))

    def forward(self, batch: dict[str, Tensor], model: nn.Module | None = None) -> Any:
        return {"logits": (model or self.whole)(batch["x"])}

    def loss(self, batch: dict[str, Tensor], model: nn.Module) -> Tensor:
        return self.forward(batch, model)["logits"].square().mean()


def bench(tmp_path: Path, compression: Compression, top_k: int | None = None) -> Workbench:
    database = Database(Run(), compression, Folder(str(tmp_path)))  # type: ignore[arg-type]
    if compression.kind != "drop":
        database.build(list(compression.units_of(database.run.model())))
    return Workbench(database, top_k)


LEVELS = Compression("bits", 3, ("blocks.*",), max_level=1)


@torch.no_grad()
def test_fitness_is_the_mean_over_samples_whatever_the_batches(tmp_path: Path) -> None:
    found, run, point = bench(tmp_path, LEVELS), Run(), (4, 2, 3)
    logits = found.set(point)(run.x)
    (kl,) = found.measured([point])
    assert kl == pytest.approx(float(kl_divergence(run.whole(run.x), logits)), rel=1e-5)
    (loss,) = found.measured([point], "loss")
    assert loss == pytest.approx(float(logits.square().mean()), rel=1e-5)
    rows = torch.tensor([7, 0, 2])
    (some,) = found.measured([point], rows=rows)
    expected = kl_divergence(run.whole(run.x[rows]), logits[rows])
    assert some == pytest.approx(float(expected), rel=1e-5)


@torch.no_grad()
def test_the_largest_classes_of_the_whole_model_are_compared(tmp_path: Path) -> None:
    found, run, point = bench(tmp_path, LEVELS, top_k=2), Run(), (2, 2, 4)
    whole, logits = run.whole(run.x), found.set(point)(run.x)
    rows = []
    for one, other in zip(whole, logits, strict=True):
        largest = one.argsort(descending=True)[:2]
        p, q = one[largest].softmax(0), other[largest].softmax(0)
        rows.append(float((p * (p / q).log()).sum()))
    assert found.measured([point])[0] == pytest.approx(sum(rows) / 10, rel=1e-4)
    # More classes than there are: all.
    everything = bench(tmp_path, LEVELS, top_k=9).measured([point])
    assert everything == pytest.approx(bench(tmp_path, LEVELS).measured([point]), rel=1e-5)


@torch.no_grad()
def test_a_dropped_branch_gives_zero_and_a_dropped_block_its_input(tmp_path: Path) -> None:
    run = Run()
    branches = bench(tmp_path, Compression("drop", 0.4, ("branches.?",), dropped="zero"))
    blocks = bench(tmp_path, Compression("drop", 0.4, ("blocks.?",)))
    without_branch = without_block = run.x
    for number, block in enumerate(run.whole.blocks):
        change = run.whole.branches[number](without_branch)[0]
        without_branch = block(without_branch + (change if number != 1 else 0))
        total = without_block + run.whole.branches[number](without_block)[0]
        without_block = block(total) if number != 1 else total
    torch.testing.assert_close(branches.set((1, 0, 1))(run.x), without_branch)
    torch.testing.assert_close(blocks.set((1, 0, 1))(run.x), without_block)
    torch.testing.assert_close(blocks.set((1, 1, 1))(run.x), run.whole(run.x))


@torch.no_grad()
@pytest.mark.parametrize(
    "compression",
    [
        LEVELS,
        Compression("bits", 3, ("blocks.*",), "gptq", max_level=1),
        Compression("sparsity", 0.5, ("blocks.*",), "sparsegpt", step=0.2, max_level=2),
    ],
)
def test_errors_of_layers_are_those_of_their_outputs(
    tmp_path: Path, compression: Compression
) -> None:
    database = Database(Run(), compression, Folder(str(tmp_path)))  # type: ignore[arg-type]
    names = list(compression.units_of(database.run.model()))
    database.build(names)
    errors, inputs = database.errors(names[:2]), Run().x
    whole = Run().whole
    assert list(errors) == names[:2]
    for number, name in enumerate(names[:2]):
        inputs = inputs + whole.branches[number](inputs)[0]
        weight = whole.blocks[number].weight
        for level, changed in database.levels(name).items():
            lost = (inputs @ (changed - weight).T).square().sum()
            expected = float(lost / (inputs @ weight.T).square().sum())
            assert errors[name][str(level)] == pytest.approx(expected, rel=1e-4)
        inputs = whole.blocks[number](inputs)
