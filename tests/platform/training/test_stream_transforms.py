"""A stream's batches as training sees them, or as evaluation does."""

from __future__ import annotations

from pathlib import Path

import pytest

import trainwright
from trainwright.testing.trace import Trace

PLUGIN = '''
from trainwright.strategy import Step, Strategy, Stream


class Both(Strategy):
    """The same samples, with the labels that training has and with those that evaluation has."""

    def streams(self):
        common = {"split": "validation", "batch_size": 9, "shuffle": False}
        return {
            "training": Stream(**common),
            "evaluation": Stream(**common, training=False),
        }

    def begin(self, context):
        self.context = context

    def step(self, step, take):
        noisy, clean = step.next("training"), step.next("evaluation")
        assert noisy["sample_id"].equal(clean["sample_id"])
        shifted = (noisy["target"] - clean["target"]) % 3
        self.context.log({"shifted": shifted.float().mean()})
        take()
'''


def test_label_noise_is_for_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "both.py").write_text(PLUGIN)
    result = trainwright.run(
        {
            "name": "both",
            "data": {
                "source": "wine",
                "batch_size": 32,
                "validation": 0.2,
                "transforms": ["standardize", {"name": "label_noise", "rate": 1.0, "kind": "next"}],
            },
            "model": {"name": "mlp", "hidden": []},
            "objective": "cross_entropy",
            "strategies": [{"name": "both.py:Both"}],
            "training": {"steps": 2},
            "cluster": {"workers": 0},
            "storage": str(tmp_path / "runs"),
            "tracking": {"enabled": False},
        }
    )
    assert Trace.read(result.storage).curve("strategy/shifted") == [1.0, 1.0]
