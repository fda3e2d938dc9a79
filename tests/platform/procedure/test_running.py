"""Procedures that run: found again, continued from recorded steps, stopped, failing."""

from __future__ import annotations

import json
import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from stories import Story, record_of

import trainwright
from trainwright.errors import InputError, Interrupted, RunError
from trainwright.procedure import generator
from trainwright.runs import RunRecord
from trainwright.storage import Folder

Make = Callable[..., dict[str, Any]]
NUMBERS = [1.0, 2.0, 3.0, 4.0]


def done() -> list[str]:
    return Path("done.txt").read_text().splitlines()


class TestResult:
    def test_findings_steps_and_files(self, job: Make) -> None:
        result = trainwright.run(job("Squares", numbers=NUMBERS))
        noise = torch.randn(2, generator=generator(0, "noise"))[0]
        assert result.metrics == {"total": 30.0, "start": 3.0, "noise": float(noise)}
        assert (result.status, result.steps) == ("finished", 5)
        assert done() == ["start", *(f"square {index}" for index in range(4))]
        folder = Path(result.storage)
        assert json.loads((folder / "artifacts" / "total.json").read_text()) == 30.0
        story = Story.of(folder)
        assert story.curve("square") == [1.0, 4.0, 9.0, 16.0]
        assert story.metrics["total", 0] == 30.0
        assert (folder / "plugins" / "procedures.py").exists()

    def test_a_finished_one_is_not_run_again(self, job: Make) -> None:
        first = trainwright.run(job("Squares", numbers=NUMBERS))
        again = trainwright.run(job("Squares", numbers=NUMBERS))
        assert again.already_finished
        assert again.metrics == first.metrics
        assert len(done()) == 5
        fresh = trainwright.run(job("Squares", numbers=NUMBERS), fresh=True)
        assert fresh.run == f"{first.run}.2"
        assert fresh.metrics == first.metrics
        assert len(done()) == 10

    def test_the_name_is_that_of_what_decides_the_numbers(self, job: Make) -> None:
        def name(sections: dict[str, Any] | None = None, **options: Any) -> str:
            values = {"numbers": NUMBERS, **options}
            return trainwright.validate(job("Squares", sections, **values)).run

        plain = name()
        assert plain == name(stop_at=-1) == name({"cluster": {"workers": 2}})
        others = [
            name(numbers=[1.0]),
            name({"seed": 1}),
            name({"data": {"source": "wine"}}),
            name({"runs": {"a": "first"}}),
            name({"runs": {"b": "first"}}),
            name({"runs": {"a": "second"}}),
        ]
        Path("procedures.py").write_text(Path("procedures.py").read_text() + "\n# edited\n")
        assert len({plain, *others, name()}) == 8

    def test_runs_and_data(self, job: Make) -> None:
        sections = {
            "runs": {"model": "first@last"},
            "data": {"source": "wine", "validation": 0.5, "batch_size": 8},
        }
        found = trainwright.run(job("Looks", sections)).metrics
        evaluated = trainwright.evaluate("first", checkpoint="last")
        assert found["loss"] == evaluated.metrics["validation/loss"]
        assert found["loss_of_copy"] == found["loss"]
        assert found["loss_of_zeros"] == pytest.approx(math.log(10))
        assert found["loss_of_biases"] > 3
        assert found["left_in_evaluation"]
        assert found["input_gradient"] > 0
        assert found["step"] == evaluated.step
        assert found["batches"] == 1
        (run,) = Path("runs").glob("tried-*")
        assert Story.of(run).events == [f"model is {evaluated.run}, {evaluated.checkpoint}"]


class TestContinued:
    def test_a_failed_item_is_named_and_the_others_are_kept(self, job: Make) -> None:
        Path("stop.txt").touch()
        wanted = r"item 2 of squares \(\(2, 3.0\)\) failed: ValueError: no square for you"
        with pytest.raises(RunError, match=wanted) as caught:
            trainwright.run(job("Squares", numbers=NUMBERS, stop_at=2))
        assert "procedures.py" in str(caught.value), "the traceback leads to the file"
        (run,) = Path("runs").glob("tried-*")
        assert record_of(run).status == "failed"
        assert "no square for you" in (run / "logs" / "driver.log").read_text()
        Path("stop.txt").unlink()
        result = trainwright.run(job("Squares", numbers=NUMBERS, stop_at=2))
        assert result.metrics["total"] == 30.0
        assert done() == ["start", "square 0", "square 1", "square 2", "square 3"]
        assert Story.of(run).curve("square") == [1.0, 4.0, 9.0, 16.0]

    def test_the_first_signal_ends_between_steps_and_the_run_goes_on(self, job: Make) -> None:
        def watch(progress: dict[str, Any]) -> None:
            if progress.get("done") == 1 and not asked:
                asked.append(1)
                os.kill(os.getpid(), signal.SIGINT)

        asked: list[int] = []
        source = Path("procedures.py").read_text()
        slow = source.replace('note(f"square {index}")', 'note(f"square {index}"); wait(0.5)')
        Path("procedures.py").write_text(f"from time import sleep as wait\n{slow}")
        with pytest.raises(Interrupted, match=r"steps recorded\. The same command continues"):
            trainwright.run(job("Squares", numbers=NUMBERS), progress=watch)
        (run,) = Path("runs").glob("tried-*")
        record = record_of(run)
        assert record.status == "interrupted"
        assert 2 <= record.steps == len(done()) < 5
        assert record.total_steps == 5
        result = trainwright.run(job("Squares", numbers=NUMBERS))
        assert result.metrics["total"] == 30.0
        assert done() == ["start", *(f"square {index}" for index in range(4))]

    def test_only_one_process_runs_it(self, job: Make) -> None:
        Path("stop.txt").touch()
        with pytest.raises(RunError):
            trainwright.run(job("Squares", numbers=NUMBERS, stop_at=0))
        (run,) = Path("runs").glob("tried-*")
        record = RunRecord.load(Folder(str(run)))
        assert record is not None
        record.claim()
        record.save(Folder(str(run)))
        with pytest.raises(InputError, match="is being run already"):
            trainwright.run(job("Squares", numbers=NUMBERS, stop_at=0))


class TestMistakes:
    @pytest.mark.parametrize(
        ("kind", "message"),
        [
            ("result", "TypeError: model must be a number, got 'no number'"),
            ("step", "TypeError: a result is made of plain values and tensors.*got object"),
            ("other", "the procedure failed: KeyError: 'lost'"),
        ],
    )
    def test_of_the_procedure(self, kind: str, message: str, job: Make) -> None:
        with pytest.raises(RunError, match=message):
            trainwright.run(job("Bad", kind=kind))

    def test_a_run_that_the_job_does_not_name(self, job: Make) -> None:
        with pytest.raises(InputError, match="needs a run named 'nobody'"):
            trainwright.run(job("Bad", kind="run"))

    def test_a_name_used_twice(self, job: Make) -> None:
        with pytest.raises(RunError, match="the step 'one' is named twice in one run"):
            trainwright.run(job("Twice"))


class TestValidation:
    def refusals(self, values: dict[str, Any]) -> dict[str, str]:
        with pytest.raises(InputError) as caught:
            trainwright.validate(values)
        assert not list(Path("runs").glob("tried-*")), "nothing is started"
        return {problem.path: str(problem) for problem in caught.value.problems}

    def test_everything_at_once(self, job: Make) -> None:
        values = job(
            "Squares", {"runs": {"model": "frist", "late": "first@999"}}, number=[1], stop_at="x"
        )
        found = self.refusals(values)
        assert found.keys() == {
            "procedure.number",
            "procedure.stop_at",
            "runs.model",
            "runs.late",
        }
        assert "numbers" in found["procedure.number"]
        assert "first-" in found["runs.model"]
        assert "keeps no checkpoint of this step" in found["runs.late"]

    @pytest.mark.parametrize(
        ("procedure", "message"),
        [
            ("weight_interpolatoin", "nearest: weight_interpolation"),
            ("procedures.py:Sqares", "nearest: Squares"),
            ("procedures.py:NoRun", "has no method run"),
        ],
    )
    def test_what_is_no_procedure(self, procedure: str, message: str, job: Make) -> None:
        found = self.refusals({**job("Squares"), "procedure": procedure})
        assert message in found["procedure"]

    def test_what_the_procedure_says_itself(self, job: Make) -> None:
        assert "needs a run named 'teacher'" in self.refusals(job("Needy"))["runs"]
        runs = {"teacher": "first"}
        refused = self.refusals(job("Needy", {"runs": runs}))
        assert "without samples there is nothing to do" in refused["procedure"]
        good = trainwright.validate(job("Needy", {"runs": runs, "data": {"source": "wine"}}))
        assert good.earlier is None
        assert "runs: teacher is first-" in "\n".join(good.summary)

    def test_rules_on_data_hold_here_too(self, job: Make) -> None:
        data = {
            "source": "wine",
            "validation": 0.6,
            "test": 0.5,
            "columns": {"x": {"type": "class"}},
        }
        found = self.refusals(job("Squares", {"data": data}, numbers=[1.0]))
        assert {"data.columns", "data.validation.fraction"} & found.keys()

    def test_names_of_runs(self, job: Make) -> None:
        found = self.refusals(job("Squares", {"runs": {"1x": "first", "b": "@last"}}, numbers=[1]))
        assert found.keys() == {"runs.1x", "runs.b"}

    def test_a_mistake_in_the_form_does_not_hide_one_in_the_options(self, job: Make) -> None:
        found = self.refusals(job("Squares", {"sed": 3}, number=[1.0]))
        assert found.keys() == {"sed", "procedure.number"}

    def test_keys_of_other_kinds_are_told_as_such(self, job: Make) -> None:
        found = self.refusals(job("Squares", {"model": "mlp"}, numbers=[1.0]))
        assert "a job with this key is of kind: train" in found["model"]

    def test_a_run_without_checkpoints_has_no_model(self, job: Make) -> None:
        other = trainwright.run(job("Squares", numbers=[1.0]))
        with pytest.raises(InputError, match="has no checkpoint"):
            trainwright.validate(job("Looks", {"runs": {"model": other.run}}))
