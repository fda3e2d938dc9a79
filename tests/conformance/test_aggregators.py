"""Every aggregator of the catalogue, by the checks that authors of aggregators use."""

from __future__ import annotations

import pytest
from aggregator_table import AGGREGATORS

from trainwright.plugins.entries import declared
from trainwright.testing import AggregatorCheck, aggregator_checks

CHECKS = [check for case in AGGREGATORS for check in aggregator_checks(case)]


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_conforms(check: AggregatorCheck) -> None:
    check()


def test_the_table_holds_the_whole_catalogue_in_order() -> None:
    names = [case.name for case in AGGREGATORS]
    assert names == sorted(names)
    shipped = {
        name
        for name, points in declared("aggregators").items()
        if any(point.dist is not None and point.dist.name == "trainwright" for point in points)
    }
    assert shipped == set(names), "add a line to tests/conformance/aggregator_table.py"
