"""Which path an update takes: fair, uniform, by gradient norms, and what is refused."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from trainwright.strategy import Context, Plan
from trainwright_strategies.cell_supernet import CellSupernet
from trainwright_strategies.fair_path_sampling import FairPathSampling, fair_paths
from trainwright_strategies.path_importance_sampling import PathImportanceSampling
from trainwright_strategies.residual_supernet import ResidualSupernet
from trainwright_strategies.supernets.operation_scores import OperationScores, halved
from trainwright_strategies.supernets.protocol import Place
from trainwright_strategies.supernets.sampling import draw_path
from trainwright_strategies.supernets.space import PathSpace
from trainwright_strategies.uniform_path_sampling import UniformPathSampling

CPU = torch.device("cpu")


class Toy(nn.Module):
    """A supernet by its four names alone: ``scaled`` and ``shifted`` have weights."""

    def __init__(self, operations: tuple[str, ...] = ("none", "scaled", "shifted")) -> None:
        super().__init__()
        self.space, self.path = PathSpace(operations, 2), (0, 0)
        self.weight = nn.ParameterDict({n: nn.Parameter(torch.ones(2)) for n in operations[1:]})

    def places(self, operation: int) -> list[Place]:
        name = self.space.operations[operation]
        return [Place(0, 1, [self.weight[name]])] if name in self.weight else []

    def parameters_of(self, path: Any) -> int:
        return 0


class Gradients:
    """Gradients of a module, as training shows them."""

    def __init__(self, model: nn.Module) -> None:
        self.of = {n: p.grad for n, p in model.named_parameters()}

    def norms(self, names: list[str]) -> Tensor:
        zero = torch.zeros(())
        return torch.stack([zero if self.of[n] is None else self.of[n].norm() for n in names])


def begun(strategy: Any, model: nn.Module, epochs: int = 4, steps: int = 5) -> Context:
    context = Context(seed=3, steps_per_epoch=steps, total_steps=epochs * steps)
    strategy.model(model, context)
    return context


def paths_of(strategy: Any, model: Any, updates: int) -> list[tuple[int, ...]]:
    """The path inside each update; outside of them it is the usual one."""
    context, found, usual = begun(strategy, model), [], model.path
    for index in range(updates):
        context.update = index
        strategy.step(SimpleNamespace(index=index), lambda: found.append(model.path))
        assert model.path == usual
    return found


def test_paths_follow_the_probabilities() -> None:
    generator = torch.Generator().manual_seed(0)
    p = torch.tensor([[0.1, 0.1, 0.3, 0.4, 0.1]], dtype=torch.float64)
    drawn = [draw_path(p, 6, generator) for _ in range(500)]
    counts = Counter(operation for path in drawn for operation in path)
    expected = (3000 * p[0]).tolist()
    assert stats.chisquare([counts[o] for o in range(5)], expected).pvalue > 0.001
    rows = torch.eye(4, dtype=torch.float64)[[2, 0, 3]]
    assert draw_path(rows, 3, generator) == (2, 0, 3)


def test_fair_paths_have_every_operation_once_at_each_edge() -> None:
    generator = torch.Generator().manual_seed(0)
    seen = set()
    for _ in range(40):
        paths = fair_paths(4, 3, generator)
        assert [sorted(column) for column in zip(*paths, strict=True)] == [[0, 1, 2, 3]] * 3
        seen.add(tuple(paths))
    assert len(seen) > 30


def test_fair_updates_in_a_row_are_permutations_also_after_a_restart() -> None:
    model = ResidualSupernet(4, 3)
    found = paths_of(FairPathSampling(), model, 12)
    for start in (0, 4, 8):
        columns = zip(*found[start : start + 4], strict=True)
        assert [sorted(column) for column in columns] == [[0, 1, 2, 3]] * 3
    assert found[:4] != found[4:8]
    again, rest = FairPathSampling(), []
    begun(again, model)
    for index in (6, 7, 8):
        again.step(SimpleNamespace(index=index), lambda: rest.append(model.path))
    assert rest == found[6:9]


def test_uniform_paths_are_uniform_and_depend_on_the_update_alone() -> None:
    model = ResidualSupernet(4, 3)
    found = paths_of(UniformPathSampling(), model, 400)
    counts = torch.zeros(3, 4)
    for path in found:
        counts[range(3), list(path)] += 1
    for row in counts:
        assert stats.chisquare(row.numpy()).pvalue > 0.001
    assert paths_of(UniformPathSampling(), model, 400) == found
    assert paths_of(PathImportanceSampling(0.0), model, 400) == found, "nothing is known yet"


def test_a_path_is_put_back_when_an_update_fails() -> None:
    model = ResidualSupernet(4, 3)
    strategy, usual = UniformPathSampling(), model.path
    begun(strategy, model)

    def fails() -> None:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        strategy.step(SimpleNamespace(index=0), fails)
    assert model.path == usual


def scores_of(size: int, **options: Any) -> OperationScores:
    space = PathSpace(tuple("abcdefgh"[:size]), 3)
    return OperationScores(SimpleNamespace(space=space), options.pop("per_edge", False), CPU)


def test_scores_of_operations_are_folded_by_halves() -> None:
    events = [(2, 0.8), (3, 1.2), (2, 0.4)]
    for tau, expected in (
        (0.5, [0.1, 0.1, 0.3, 0.4, 0.1]),
        (0.0, [0.2] * 5),
        (1.0, [0, 0, 0.4, 0.6, 0]),
    ):
        operations = scores_of(5)
        for operation, norm in events:
            new = torch.zeros(1, 5)
            new[0, operation] = norm
            operations.fold(new)
        assert operations.scores[0].tolist() == pytest.approx([0, 0, 0.4, 0.6, 0])
        operations.end_epoch(tau)
        assert operations.probabilities[0].tolist() == pytest.approx(expected)
        assert not operations.scores.any(), "each epoch begins with nothing"


def test_what_is_no_norm_is_not_counted() -> None:
    before = torch.tensor([[0.4, 0.4, 0.4, 0.4]])
    new = torch.tensor([[0.0, float("nan"), float("inf"), 0.2]])
    assert halved(before, new)[0].tolist() == pytest.approx([0.4, 0.4, 0.4, 0.3])


def test_probabilities_have_a_floor_and_stay_where_nothing_is_known() -> None:
    operations = scores_of(4, per_edge=True)
    operations.end_epoch(0.9)
    assert operations.probabilities.tolist() == [[0.25] * 4] * 3
    new = torch.zeros(3, 4)
    new[1] = torch.rand(4)
    operations.fold(new)
    operations.end_epoch(0.9)
    p = operations.probabilities
    torch.testing.assert_close(p.sum(1), torch.ones(3, dtype=torch.float64))
    assert float(p.min()) >= 0.1 / 4 - 1e-12
    assert p[0].tolist() == p[2].tolist() == [0.25] * 4


@pytest.mark.parametrize("per_edge", [False, True])
@pytest.mark.parametrize("path", [(2, 3, 3, 2, 0, 1), (3, 3, 3, 3, 3, 3), (0, 1, 4, 0, 1, 4)])
def test_norms_of_operations_are_those_of_single_weights(
    path: tuple[int, ...], per_edge: bool
) -> None:
    torch.manual_seed(0)
    model = CellSupernet(3, 5, channels=4, cells=2, affine=True)
    model.path = path
    model(torch.randn(6, 3, 8, 8))["logits"].square().mean().backward()
    operations = OperationScores(model, per_edge, CPU)
    found = operations.norms(model, Gradients(model), path)
    cells = [part for part in model.parts if hasattr(part, "choices")]
    expected = torch.zeros(6, 5)
    for edge, operation in enumerate(path):
        name = model.space.operations[operation]
        norms = [
            sum(float(w.grad.norm()) for w in cell.edges[edge].operations[name].parameters())
            for cell in cells
        ]
        expected[edge, operation] = sum(norms) / len(norms)
    if not per_edge:
        times = torch.tensor([max(path.count(o), 1) for o in range(5)])
        expected = (expected.sum(0) / times)[None]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)
    assert (found > 0).sum() == sum(o in (2, 3) for o in (path if per_edge else set(path)))


def test_an_operation_that_is_in_one_place_is_not_punished_for_it() -> None:
    model = Toy()
    for parameter in model.parameters():
        parameter.grad = torch.tensor([3.0, 4.0])
    found = OperationScores(model, False, CPU).norms(model, Gradients(model), (1, 1))
    assert found.tolist() == [[0.0, 5.0, 0.0]]
    none = OperationScores(model, False, CPU).norms(model, Gradients(model), (1, 0))
    assert not none.any()


def test_norms_count_as_they_were_after_clipping() -> None:
    model, strategy = Toy(), PathImportanceSampling(1.0)
    begun(strategy, model)
    for parameter in model.parameters():
        parameter.grad = torch.tensor([3.0, 4.0])
    step = SimpleNamespace(index=0, model=model, gradients=Gradients(model))
    step.clip_factor = lambda: torch.tensor(0.2)
    strategy._path = (0, 2)
    strategy.gradients(step)
    strategy.updated(step)
    assert strategy.state_dict()["scores"].tolist() == [[0.0, 0.0, 0.5]]
    strategy.epoch_end(0)
    assert strategy.state_dict()["probabilities"].tolist() == [[0.0, 0.0, 1.0]]
    strategy.phase_begin("next")
    assert strategy.state_dict()["probabilities"].tolist() == [[1 / 3] * 3]


def test_probabilities_are_told_once_as_an_epoch_begins() -> None:
    model, strategy = Toy(), PathImportanceSampling()
    context = begun(strategy, model)
    for index in range(3):
        strategy.next_path(SimpleNamespace(index=index))
        logged = context.take_logged()
        assert bool(logged) == (index == 0)
    strategy.epoch_end(0)
    strategy.next_path(SimpleNamespace(index=3))
    assert context.take_logged() == pytest.approx(
        {f"path_probability/{name}": 1 / 3 for name in model.space.operations}
    )


def test_clip_norm_is_the_plans() -> None:
    plan = Plan(1, None, 8, 1.0, {}, {}, "sgd")
    assert PathImportanceSampling(clip_norm=5.0).plan(plan).max_grad_norm == 5.0
    assert PathImportanceSampling().plan(plan) is plan


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Linear(2, 2), "the model is no supernet"),
        (Toy(("scaled",)), "two operations or more, got \\['scaled'\\]"),
        (ResidualSupernet(4, 3, path=[1, 2, 1]), "made with the path"),
    ],
)
def test_what_has_no_paths_is_refused(model: nn.Module, message: str) -> None:
    for strategy in (UniformPathSampling(), FairPathSampling(), PathImportanceSampling()):
        with pytest.raises(ValueError, match=message):
            strategy.model(model, Context(seed=0))


def test_a_supernet_without_weights_to_choose_is_refused() -> None:
    class Bare(Toy):
        def places(self, operation: int) -> list[Place]:
            return []

    with pytest.raises(ValueError, match="no operation of the supernet has weights"):
        PathImportanceSampling().model(Bare(), Context(seed=0))
    UniformPathSampling().model(Bare(), Context(seed=0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tau_schedule": -0.1}, r"tau_schedule must be a number in \[0, 1\]"),
        ({"tau_schedule": "cosine"}, "tau_schedule must be linear"),
        ({"clip_norm": 0.0}, "clip_norm must be a number above 0"),
    ],
)
def test_wrong_options_are_told(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PathImportanceSampling(**options)
