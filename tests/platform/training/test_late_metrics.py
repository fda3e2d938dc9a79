"""Metrics are made once, and not before they are needed."""

from __future__ import annotations

from trainwright.training.metrics import LateMetrics


def test_metrics_are_made_once_when_first_asked_for() -> None:
    calls: list[int] = []

    def make() -> list[str]:
        calls.append(1)
        return ["accuracy", "f1"]

    metrics = LateMetrics(make)
    assert calls == []
    assert list(metrics) == ["accuracy", "f1"]
    assert (len(metrics), metrics[1], metrics[:1]) == (2, "f1", ["accuracy"])
    assert calls == [1]
