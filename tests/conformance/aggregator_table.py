"""The settings under which every aggregator of the catalogue is checked, in alphabetical order."""

from __future__ import annotations

from trainwright.testing import AggregatorCase

AGGREGATORS = [
    AggregatorCase("coordinate_median"),
    AggregatorCase("fedadagrad", moves_by=None),
    AggregatorCase("fedadam", moves_by=None),
    AggregatorCase("fedavg", {"server_lr": 0.5}, neutral={"server_lr": 1.0}, moves_by=0.5),
    AggregatorCase("fedavgm", {"momentum": 0.7}, neutral={"momentum": 0.0}),
    AggregatorCase("fedbn"),
    # 5 of 7 clients take part: h carries the mean on by 5/7 of it.
    AggregatorCase("feddyn", {"alpha": 0.5}, neutral={"alpha": 0.0}, moves_by=1 + 5 / 7),
    AggregatorCase("fedld"),
    AggregatorCase("fednova"),
    AggregatorCase("fedprox", {"mu": 0.5}, neutral={"mu": 0.0}),
    AggregatorCase("fedyogi", moves_by=None),
    AggregatorCase("krum", {"num_byzantine": 1}),
    AggregatorCase("moon", {"mu": 2.0}, neutral={"mu": 0.0}),
    AggregatorCase("principal_gradient_aggregation"),
    AggregatorCase("scaffold", {"server_lr": 0.5}, moves_by=0.5),
    AggregatorCase("trimmed_mean", {"share": 0.2}),
]
