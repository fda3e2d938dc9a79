"""Comparisons of procedures: variants of a search over seeds, judged like trainings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import trainwright
from trainwright.errors import InputError
from trainwright.runs import RunRecord
from trainwright.storage import Folder

SEARCH = '''
import torch

from trainwright import Procedure


class Search(Procedure):
    """The smallest of some random numbers; each seed has others."""

    def __init__(self, tries: int = 1, broken_seed: int = -1, refused_seed: int = -1) -> None:
        self.tries = tries
        self.broken_seed = broken_seed
        self.refused_seed = refused_seed

    def check(self, inputs):
        if inputs.seed == self.refused_seed:
            raise ValueError("not with this seed")

    def run(self, context):
        if context.seed == self.broken_seed:
            raise ValueError("broken on purpose")
        drawn = torch.rand(self.tries, generator=context.rng("tries"))
        for value in context.map(float, drawn, name="tries"):
            context.log({"tried": value})
        return {"smallest": float(drawn.min()), "held_out": len(context.table("validation"))}
'''


@pytest.fixture
def values() -> dict[str, Any]:
    Path("search.py").write_text(SEARCH)
    return {
        "kind": "compare",
        "name": "searches",
        "seeds": 3,
        "split_by_seed": True,
        "base": {
            "kind": "procedure",
            "procedure": {"name": "search.py:Search"},
            "data": {"source": "wine", "validation": 0.5},
        },
        "variants": {"baseline": {}, "longer": {"procedure.tries": 20}},
        "expect": [
            "value(smallest, longer) < value(smallest, baseline) for all seeds",
            "mean(tried@3, longer) > mean(smallest, longer)",
            "mean(held_out, longer) < mean(held_out, baseline) + 1",
        ],
        "cluster": {"workers": 0},
        "tracking": {"enabled": False},
    }


def test_procedures_are_compared_and_found_again(values: dict[str, Any]) -> None:
    checked = trainwright.validate(values)
    assert "2 variants x 3 seeds: 6 runs, 0 of them finished already" in checked.summary[0]
    result = trainwright.run(values)
    assert [judgement.holds for judgement in result.expectations] == [True, True, True]
    assert result.exit_status == 0
    storage = Folder("runs")
    rows = {(row.quantity, row.variant): row for row in result.rows}
    for cost in result.costs:
        assert not cost.failed
        for seed, name in cost.runs.items():
            record = RunRecord.load(storage / name)
            assert record is not None
            assert (record.status, record.parent) == ("finished", result.run)
            assert rows["smallest", cost.variant].values[seed] == record.metrics["smallest"]
    again = trainwright.run(values)
    assert again.already_finished
    assert again.rows == result.rows


def test_the_table_shows_all_that_they_record_unless_told_otherwise(values: dict[str, Any]) -> None:
    del values["expect"]
    assert trainwright.validate(values).summary[-1].endswith("table of all that they record")
    result = trainwright.run(values)
    assert {row.quantity for row in result.rows} == {"held_out", "smallest", "tried"}


def test_a_placebo_is_noticed(values: dict[str, Any]) -> None:
    result = trainwright.run(values, placebo=True)
    assert not result.holds
    assert result.exit_status == 0


def test_a_failure_is_told_and_the_others_go_on(values: dict[str, Any]) -> None:
    values["variants"]["longer"]["procedure.broken_seed"] = 1
    result = trainwright.run(values)
    assert result.status == "failed"
    failed = {cost.variant: cost.failed for cost in result.costs}
    assert failed["baseline"] == {}
    assert list(failed["longer"]) == [1]
    assert "broken on purpose" in failed["longer"][1]


def test_mistakes_are_told_where_they_stand(values: dict[str, Any]) -> None:
    values["variants"]["longer"] = {"procedure.trys": 20}
    with pytest.raises(InputError, match=r"procedure\.trys: .* has no option"):
        trainwright.validate(values)
    values["variants"]["longer"] = {"procedure.refused_seed": 2}
    with pytest.raises(InputError) as caught:
        trainwright.validate(values)
    (problem,) = caught.value.problems
    assert problem.path == "base.procedure"
    assert "not with this seed" in problem.message
    values["base"]["kind"] = "compare"
    with pytest.raises(InputError, match="only single runs can be compared"):
        trainwright.validate(values)
