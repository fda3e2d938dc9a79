"""The commented job of a federation does what its comments say."""

from __future__ import annotations

from pathlib import Path

import pytest

import trainwright

JOB = Path(__file__).resolve().parents[2] / "jobs" / "federation.yaml"


def test_it_measures_the_model_its_clients_and_what_its_loss_is_made_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = trainwright.run(JOB, overrides=["federation.rounds=6", "tracking.enabled=false"])
    found = result.metrics
    assert (result.status, result.steps, result.unit) == ("finished", 6, "rounds")
    assert 0.1 < found["validation/accuracy"] <= 1
    assert found["client/accuracy/worst"] <= found["client/accuracy/mean"]
    assert found["personalised/loss/mean"] < found["client/loss/mean"]
    terms = [value for name, value in found.items() if name.startswith("decomposition/")]
    assert sum(terms) == pytest.approx(found["validation/loss"], rel=1e-6)
    assert found["federation/missing_clients"] > 0, "nobody dropped out or was too slow"
    assert "6 rounds" in repr(result)
