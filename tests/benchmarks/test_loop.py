"""The loop benchmark in a short form, in the shared worker processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def measure_here(root: str, folder: str, case: tuple[Any, ...]) -> dict[str, Any] | None:
    import sys
    from dataclasses import asdict

    sys.path.append(f"{root}/jobs/benchmarks")
    from common.deepspeed_loop import Case
    from loop.measure import measure, result_of

    from trainwright.tracking import JournalWriter

    before = JournalWriter.__init__
    pieces = measure(Path(folder), Case(*case))
    assert JournalWriter.__init__ is before
    return None if pieces is None else asdict(result_of(Case(*case), [pieces, pieces]))


def check(result: dict[str, Any], pairs: int) -> None:
    assert result["worst_loss_difference"] <= 1e-5
    for ratio in (result["wall"], result["cpu"]):
        assert (ratio["pairs"], ratio["groups"]) == (2 * pairs, 2)
        assert 0 < ratio["low"] <= ratio["median"] <= ratio["high"]


@pytest.mark.slow
def test_a_short_form_with_one_worker(one_worker: Any, tmp_path: Path) -> None:
    case = ("mlp", 0, 1, 16, 3, 5)
    [result] = one_worker.run(measure_here, str(ROOT), str(tmp_path), case)
    check(result, pairs=3)


@pytest.mark.slow
def test_a_short_form_with_two_workers(two_workers: Any, tmp_path: Path) -> None:
    case = ("convnet", 2, 2, 16, 2, 4)
    first, other = two_workers.run(measure_here, str(ROOT), str(tmp_path), case)
    check(first, pairs=2)
    assert other is None


def test_losses_that_differ_are_noticed() -> None:
    from loop.measure import worst_difference

    assert worst_difference([1.0, 2.0], [1.0, 1.5]) == 0.5
    with pytest.raises(AssertionError, match="2 losses and 1"):
        worst_difference([1.0, 2.0], [1.0])


def test_every_case_has_pieces_of_updates() -> None:
    from common.models import MODELS
    from loop.measure import PLACES, WARM_UP, cases

    found = cases(pairs=5)
    assert [case.blocks - WARM_UP for case in found if case.workers == 1] == [3] * 2 * len(MODELS)
    assert [case.blocks - WARM_UP for case in found if case.workers == 2] == [5] * 4 * len(MODELS)
    assert len({(case.model, case.stage, case.workers) for case in found}) == len(found)
    assert len(found) == len(MODELS) * len(PLACES)
    assert all(case.batch_size % case.workers == 0 for case in found)


def test_text_for_the_language_model_is_whole() -> None:
    from common.text import text

    table = text(num_samples=300, length=64)
    tokens, target = (table.tensors[name].flatten() for name in ("tokens", "target"))
    assert (tokens[1:] == target[:-1]).all()
    assert bytes(tokens.tolist()[:60]).strip().startswith(b"Apache License")
    assert int(target.min()) >= 0


@pytest.mark.parametrize("model", ["convnet", "gpt", "mlp"])
def test_the_model_by_hand_is_that_of_the_job(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch.distributed as dist
    from common.deepspeed_loop import Case, untrained
    from common.models import MODELS
    from loop.sides import plain_model

    monkeypatch.setattr(dist, "get_rank", lambda: 0)
    case = Case(model, 0, 1, MODELS[model].batch_size, 2, 1)
    made, ours = plain_model(case), untrained(case, tmp_path)
    assert [(n, p.shape) for n, p in made.named_parameters()] == [
        (n, p.shape) for n, p in ours.named_parameters()
    ]


@pytest.mark.slow
def test_the_memory_of_each_side() -> None:
    from common.deepspeed_loop import Case
    from loop.memory import growth_of

    case = Case("mlp", 0, 1, 64, 2, 1)
    for is_ours in (True, False):
        assert 2**20 < growth_of(case, is_ours) < 2**30
