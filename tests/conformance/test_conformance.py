"""Every plugin of the catalogue, by the checks that plugin authors use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from conformance_table import CASES, PACKAGE_OF

from trainwright.plugins import GROUPS
from trainwright.plugins.entries import declared
from trainwright.testing import Check, Rig, checks_of

QUICK = [check for case in CASES for check in checks_of(case)]
FULL = [check for case in CASES for check in checks_of(case, full=True) if check not in QUICK]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, two_workers: Any) -> Iterator[Rig]:
    with Rig(tmp_path_factory.mktemp("rig"), {2: two_workers}) as rig:
        yield rig


@pytest.mark.parametrize("check", QUICK, ids=str)
def test_conforms(check: Check, rig: Rig) -> None:
    _run(check, rig)


@pytest.mark.slow
@pytest.mark.parametrize("check", FULL, ids=str)
def test_conforms_everywhere(check: Check, rig: Rig) -> None:
    _run(check, rig)


def _run(check: Check, rig: Rig) -> None:
    if check.case.name in PACKAGE_OF:
        pytest.importorskip(PACKAGE_OF[check.case.name])
    check(rig)


ELSEWHERE = ("procedures", "aggregators", "partitioners", "update_transforms")
"""Groups that are no part of the loop; each plugin has oracle tests of its own."""


def test_the_table_holds_the_whole_catalogue() -> None:
    shipped = {
        (group, name)
        for group in GROUPS
        if group not in ELSEWHERE
        for name, points in declared(group).items()
        if any(point.dist is not None and point.dist.name == "trainwright" for point in points)
    }
    assert len(shipped) > 20
    missing = shipped - {(case.group, case.name) for case in CASES}
    assert missing == set(), "add a line to tests/conformance/conformance_table.py"
