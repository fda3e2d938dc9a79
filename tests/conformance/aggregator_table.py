"""The settings under which every aggregator of the catalogue is checked, in alphabetical order."""

from __future__ import annotations

from trainwright.testing import AggregatorCase

AGGREGATORS = [
    AggregatorCase("fedavg", {"server_lr": 0.5}, neutral={"server_lr": 1.0}, moves_by=0.5),
    AggregatorCase("fedbn"),
    # 5 of 7 clients take part: h carries the mean on by 5/7 of it.
    AggregatorCase("feddyn", {"alpha": 0.5}, neutral={"alpha": 0.0}, moves_by=1 + 5 / 7),
    AggregatorCase("fedld"),
    AggregatorCase("fednova"),
    AggregatorCase("moon", {"mu": 2.0}, neutral={"mu": 0.0}),
    AggregatorCase("principal_gradient_aggregation"),
    AggregatorCase("scaffold", {"server_lr": 0.5}, moves_by=0.5),
]
