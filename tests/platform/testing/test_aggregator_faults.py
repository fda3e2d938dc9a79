"""The checks of aggregators find what they are for: aggregators with one fault each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trainwright.testing import AggregatorCase, aggregator_checks

PLUGINS = Path(__file__).parent / "plugins"


def faulty(name: str, **settings: Any) -> AggregatorCase:
    return AggregatorCase(f"faulty_aggregators.py:{name}", base=PLUGINS, **settings)


SOUND = faulty("Sound", neutral={"share": 1.0}, moves_by=0.5)


@pytest.mark.parametrize("check", aggregator_checks(SOUND), ids=str)
def test_a_sound_aggregator_passes(check: Any) -> None:
    check()


@pytest.mark.parametrize(
    ("case", "name", "message"),
    [
        (faulty("Unexplained"), "explains_itself", "share is not described(.|\n)*no section Needs"),
        (faulty("WrongWay"), "trains", "the loss does not fall"),
        (faulty("WrongWay"), "follows_a_shared_update", "does not move by 1.0 times"),
        (faulty("WrongWay", moves_by=None), "follows_a_shared_update", "does not move along"),
        (faulty("WrongFactor", moves_by=0.5), "follows_a_shared_update", "not move by 0.5 times"),
        (faulty("Placebo"), "differs_from_averaging", "the same as plain averaging"),
        (faulty("NearlyNeutral", neutral={"share": 1.0}), "is_neutral", "round 0 differs"),
        (faulty("InPlace"), "is_pure", "end changes its arguments"),
        (faulty("Remembering"), "is_pure", "server changes attributes of self"),
        (faulty("Dice"), "is_pure", "gradients gives another result"),
        (faulty("Uneven"), "speaks_alike", "client 1 sends"),
        (faulty("Talkative"), "speaks_alike", "steps is int"),
        (faulty("Nameless"), "speaks_alike", "'update' must be of"),
        (faulty("Hoarder"), "speaks_alike", "client 0 keeps .*last"),
        (faulty("Exact"), "survives_float32", "rounds loses digits"),
        (faulty("FirstComes"), "ignores_the_order", "weights depends on the order"),
        (faulty("Together"), "stacks_gradients", "client 0 differs in a stack"),
        (faulty("Branching"), "batches_its_loss", "is it functional"),
        (faulty("Unweighted"), "batches_its_loss", "a sample of weight 0 changes the loss"),
        (faulty("Inventive"), "keeps_real_tensors", "norm.beta"),
        (faulty("Overflowing"), "stays_finite", "with huge updates .*\n  server: power"),
        (faulty("Dividing"), "stays_finite", "with zeros numbers are not finite:\n  weights"),
        (faulty("Wide"), "follows_a_shared_update", "are .*float64.*, not .*float32"),
    ],
    ids=lambda value: str(value) if isinstance(value, AggregatorCase) else None,
)
def test_a_fault_is_found(case: AggregatorCase, name: str, message: str) -> None:
    (check,) = [check for check in aggregator_checks(case) if check.name == name]
    with pytest.raises(AssertionError, match=message):
        check()


def test_exemptions_need_a_reason_and_hold() -> None:
    with pytest.raises(ValueError, match="an exemption needs a reason"):
        faulty("Placebo", exempt={"differs_from_averaging": " "})
    names = {c.name for c in aggregator_checks(faulty("Placebo", exempt={"trains": "a test"}))}
    assert "trains" not in names
    assert "is_pure" in names
    assert "is_neutral" not in names, "the case names no neutral options"
    assert "batches_its_loss" not in names, "it does not change the loss"


def test_a_check_names_aggregator_and_function() -> None:
    assert str(aggregator_checks(SOUND)[0]) == "Sound-explains_itself"
