"""What phases promise: names, overrides, order, nesting, early stopping, resuming."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest
from stories import Story

from trainwright.checkpoint import CheckpointStore
from trainwright.errors import InputError, RunError
from trainwright.job import Job
from trainwright.storage import Folder
from trainwright.training.worker import Outcome, WorkOrder, work

BASE: dict[str, Any] = {
    "name": "rules",
    "data": {
        "source": {"name": "synthetic_classification", "num_samples": 96},
        "validation": 0.25,
        "batch_size": 24,
    },
    "model": {"name": "mlp", "hidden": [8]},
    "objective": "cross_entropy",
    "optimizer": {"name": "adamw", "lr": 0.01},
    "training": {"epochs": 2, "record_samples": True},
    "cluster": {"workers": 0},
    "tracking": {"enabled": False},
}

HEAD = """
import torch
from torch import nn

from trainwright.strategy import Strategy


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, logits, target):
        return self.scale * nn.functional.cross_entropy(logits, target)


"""


def _run(folder: Path, code: str = "", *names: str, **values: Any) -> Outcome:
    """Train with strategies written in ``code``."""
    (folder / "methods.py").write_text(HEAD + textwrap.dedent(code))
    strategies = [{"name": f"methods.py:{name}"} for name in names] or values.pop("strategies", [])
    job = Job.from_dict({**BASE, **values, "strategies": strategies}, base=folder)
    return work(WorkOrder(job.spec.model_dump(mode="json"), str(folder), f"{folder}/run"), None)


def _story(folder: Path) -> Story:
    return Story.of(Folder(f"{folder}/run"))


def _progress(folder: Path) -> Any:
    checkpoint = CheckpointStore(Folder(f"{folder}/run")).latest()
    assert checkpoint is not None
    return checkpoint.state["progress"]


TWICE = """
class Twice(Strategy):
    def run(self, fit):
        first = fit("a")
        assert (first.steps, sorted(first.metrics)) == (6, ["validation/loss"])
        second = fit("b", epochs=1)
        assert (second.steps, second.loss != first.loss) == (3, True)
"""


def test_the_first_phase_is_training_without_phases(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "twice").mkdir()
    _run(tmp_path / "plain")
    outcome = _run(tmp_path / "twice", TWICE, "Twice")
    plain, twice = _story(tmp_path / "plain"), _story(tmp_path / "twice")
    assert (outcome.complete, outcome.steps, outcome.total_steps) == (True, 9, 9)
    first = {key: value for key, value in twice.metrics.items() if key[1] <= 6}
    assert first == plain.metrics
    assert {step: ids for step, ids in twice.samples.items() if step <= 6} == plain.samples


def test_no_phase_sees_the_order_of_another(tmp_path: Path) -> None:
    _run(tmp_path, TWICE, "Twice")
    samples = _story(tmp_path).samples
    epochs = [[*samples[s], *samples[s + 1], *samples[s + 2]] for s in (1, 4, 7)]
    assert len({tuple(sorted(epoch)) for epoch in epochs}) == 1
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert _story(tmp_path).curve("train/epoch") == pytest.approx(
        [1 / 3, 2 / 3, 1, 4 / 3, 5 / 3, 2, 1 / 3, 2 / 3, 1]
    )


def test_a_finished_run_of_phases_trains_nothing_more(tmp_path: Path) -> None:
    _run(tmp_path, TWICE, "Twice")
    again = _run(tmp_path, TWICE, "Twice")
    assert (again.complete, again.steps, again.total_steps, again.attempt) == (True, 9, 9, 2)
    assert _progress(tmp_path)["ended"]


NESTED = """
class Rounds(Strategy):
    def run(self, fit):
        results = [fit(f"round-{number}", epochs=2, optimizer={"lr": 0.02}) for number in range(2)]
        assert [result.steps for result in results] == [2, 2]


class Halves(Strategy):
    def run(self, fit):
        fit("one", steps=1)
        fit("two", steps=2, optimizer={"weight_decay": 0.0})
"""


def test_phases_inside_phases(tmp_path: Path) -> None:
    outcome = _run(tmp_path, NESTED, "Rounds", "Halves")
    progress = _progress(tmp_path)
    names = [name for name, *_ in progress["phases"]] + [progress["phase"]]
    assert names == ["round-0/one", "round-0/two", "round-1/one", "round-1/two"]
    assert outcome.steps == 6
    assert _story(tmp_path).curve("train/lr") == [0.02] * 6


REFUSED = {
    "fit('a'); fit('a')": "same name",
    "fit('no name')": "is no name",
    "fit(optimizer={'name': 'sgd'})": "cannot change the optimizer",
    "fit(optimizer={'learning_rate': 1.0})": "learning_rate",
    "fit(schedule={'name': 'cosin'})": "cosin",
    "fit(objective=Scaled())": "cannot have parameters",
    "fit(objective='mse')": "is not a torch.nn.Module",
    "fit(source='elsewhere')": "no source of this name",
    "fit(epochs=1, steps=2)": "epochs or steps",
    "fit(steps=0)": "at least 1",
}


@pytest.mark.parametrize("call", REFUSED)
def test_what_a_phase_cannot_be(tmp_path: Path, call: str) -> None:
    code = f"class Asking(Strategy):\n    def run(self, fit):\n        {call}\n"
    with pytest.raises(InputError, match=REFUSED[call]):
        _run(tmp_path, code, "Asking")


def test_a_run_hook_that_trains_nothing_is_told(tmp_path: Path) -> None:
    code = "class Idle(Strategy):\n    def run(self, fit):\n        pass\n"
    with pytest.raises(RuntimeError, match=r"Idle.run did not call fit"):
        _run(tmp_path, code, "Idle")


def test_other_phases_on_resume_are_refused(tmp_path: Path) -> None:
    code = """
    class Changing(Strategy):
        def run(self, fit):
            fit("a", steps=2)
            fit("b", steps=2)
            raise ValueError("in between")
    """
    with pytest.raises(ValueError, match="in between"):
        _run(tmp_path, code, "Changing")
    with pytest.raises(
        RunError, match="resumed in phase b, but its strategies now ask for phase c"
    ):
        _run(tmp_path, code.replace('"b"', '"c"'), "Changing")


def test_code_between_phases_draws_the_same_numbers_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code = """
    class Drawing(Strategy):
        def begin(self, context):
            self.context = context

        def run(self, fit):
            for number in range(2):
                fit(f"phase-{number}", steps=2)
                drawn = torch.rand(3, generator=self.context.rng("drawing"))
                with open("drawn.txt", "a") as file:
                    print(number, drawn.tolist(), torch.rand(2).tolist(), file=file)
            raise ValueError("killed")
    """
    for _ in range(2):
        with pytest.raises(ValueError, match="killed"):
            _run(tmp_path, code, "Drawing")
    first = (tmp_path / "drawn.txt").read_text().splitlines()
    assert first[:2] == first[2:]
    assert len(set(first)) == 2


def test_early_stopping_ends_a_phase_and_begins_anew_in_the_next(tmp_path: Path) -> None:
    code = """
    class Twice(Strategy):
        def run(self, fit):
            assert fit("a", epochs=9).steps == 6
            assert fit("b", epochs=9).steps == 6
    """
    stopping = {"name": "early_stopping", "patience": 1, "min_delta": 1000.0}
    outcome = _run(tmp_path, code, strategies=[{"name": "methods.py:Twice"}, stopping])
    assert (outcome.complete, outcome.steps) == (True, 12)


def test_the_best_checkpoint_is_one_of_the_last_phase(tmp_path: Path) -> None:
    """The second phase forgets; what it gives is the result all the same."""
    code = """
    class Worse(Strategy):
        def run(self, fit):
            fit("good", epochs=8)
            fit("bad", epochs=2, optimizer={"lr": 3.0})
    """
    _run(tmp_path, code, "Worse", training={"keep": {"last": 3, "best": 1}})
    best = CheckpointStore(Folder(f"{tmp_path}/run")).best()
    assert best is not None
    assert best.step > 24


def test_a_phase_on_a_named_source(tmp_path: Path) -> None:
    code = """
    class Elsewhere(Strategy):
        def run(self, fit):
            assert fit("job").steps == 6
            assert fit("other", source="other").steps == 4
    """
    other = {"name": "synthetic_classification", "num_samples": 48, "seed": 5}
    sources = {"other": {"source": other}}
    _run(tmp_path, code, "Elsewhere", data={**BASE["data"], "sources": sources})
    samples = _story(tmp_path).samples
    assert sorted([*samples[7], *samples[8]]) == list(range(48))
    (tmp_path / "narrow").mkdir()
    narrow = {"other": {"source": {**other, "num_features": 3}}}
    with pytest.raises(InputError, match="'features' is not as in the training data"):
        _run(tmp_path / "narrow", code, "Elsewhere", data={**BASE["data"], "sources": narrow})


def test_a_phase_on_some_of_the_samples(tmp_path: Path) -> None:
    code = """
    class Core(Strategy):
        def run(self, fit):
            rows = torch.arange(0, len(fit.table()), 2)
            assert fit("core", source=fit.table().subset(rows)).steps == 4
    """
    _run(tmp_path, code, "Core")
    samples = _story(tmp_path).samples
    assert len({*samples[1], *samples[2]}) == 36
    assert {*samples[1], *samples[2]} == {*samples[3], *samples[4]}
