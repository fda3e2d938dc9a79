"""Checks that every plugin must pass, for the authors of plugins.

A :class:`Case` says how a plugin is used; :func:`checks_of` gives the checks that apply to it, and
a :class:`Rig` runs them: it trains small jobs, on worker processes where a check asks for several.
Nothing here needs pytest; with it, a plugin's test is::

    import pytest
    from trainwright.testing import Case, Rig, checks_of

    CASE = Case("strategies", "my_method", {"weight": 0.1})

    @pytest.fixture(scope="module")
    def rig(tmp_path_factory):
        with Rig(tmp_path_factory.mktemp("rig")) as rig:
            yield rig

    @pytest.mark.parametrize("check", checks_of(CASE), ids=str)
    def test_conformance(check, rig):
        check(rig)

An aggregator needs no rig: an :class:`AggregatorCase` says how it is used, and
:func:`aggregator_checks` gives its checks, which are called without arguments.

A check that fails raises ``AssertionError`` and says what differs. What is checked, by group, is
told by ``checks_of`` and ``aggregator_checks``, and by the functions of the modules named after
the groups.
"""

from trainwright.testing.cases import CLASSIFICATION, IMAGES, REGRESSION, Case
from trainwright.testing.check import Check
from trainwright.testing.federated.case import AggregatorCase, AggregatorCheck
from trainwright.testing.federated.checks import aggregator_checks
from trainwright.testing.federated.miniature import Miniature, federation_of, reduced_of
from trainwright.testing.federated.tasks import Classes, Quadratics
from trainwright.testing.inputs import class_scores, values
from trainwright.testing.matrix import checks_of
from trainwright.testing.rig import Rig
from trainwright.testing.setups import LOCAL, Setup
from trainwright.testing.trace import Trace
from trainwright.testing.workers import Workers

__all__ = [
    "CLASSIFICATION",
    "IMAGES",
    "LOCAL",
    "REGRESSION",
    "AggregatorCase",
    "AggregatorCheck",
    "Case",
    "Check",
    "Classes",
    "Miniature",
    "Quadratics",
    "Rig",
    "Setup",
    "Trace",
    "Workers",
    "aggregator_checks",
    "checks_of",
    "class_scores",
    "federation_of",
    "reduced_of",
    "values",
]
