"""How often a run may lose workers and nodes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trainwright.job.models import ClusterSpec
from trainwright.orchestration.budget import Budget, Incident

CLUSTER = ClusterSpec(max_failures=2, max_node_failures=3)
WORKER, NODE = Incident("worker", "worker 1 was lost", 0.0), Incident("node", "its node died", 0.0)


def test_crashes_at_one_place_end_the_run_and_progress_gives_them_back() -> None:
    budget = Budget(CLUSTER, step=100)
    assert [budget.allows(WORKER, 100) for _ in range(3)] == [True, True, False]
    budget = Budget(CLUSTER, step=100)
    assert [budget.allows(WORKER, step) for step in (100, 100, 150, 150, 150)] == [
        *[True] * 4,
        False,
    ]


def test_nodes_do_not_pay_for_workers() -> None:
    budget = Budget(CLUSTER, step=0)
    happened = [NODE, WORKER, NODE, WORKER, NODE]
    assert all(budget.allows(incident, 0) for incident in happened)
    assert not Budget(CLUSTER.model_copy(update={"max_node_failures": 0}), 0).allows(NODE, 0)


def test_a_checkpoint_from_before_is_no_progress() -> None:
    """One that was damaged, or a rewind."""
    budget = Budget(CLUSTER, step=100)
    assert [budget.allows(WORKER, step) for step in (100, 50, 90)] == [True, True, False]


def test_the_error_says_which_budget_and_what_happened() -> None:
    budget = Budget(CLUSTER, step=0)
    for incident in (NODE, WORKER, WORKER, WORKER):
        budget.allows(incident, 0)
    told = budget.explain()
    assert told.startswith(
        "worker 1 was lost, and 2 restarts did not help: no checkpoint at all was written, "
        "and cluster.max_failures is 2\nwhat happened:\n"
    )
    assert [line.split("  ")[-1] for line in told.splitlines()[2:]] == [
        "its node died",
        *["worker 1 was lost"] * 3,
    ]


@given(st.lists(st.tuples(st.sampled_from([WORKER, NODE]), st.integers(0, 3)), max_size=30))
def test_allowed_as_long_as_neither_count_since_the_last_progress_exceeds_its_limit(
    happened: list[tuple[Incident, int]],
) -> None:
    budget, best, workers, nodes = Budget(CLUSTER, 0), 0, 0, 0
    for incident, step in happened:
        if step > best:
            best, workers, nodes = step, 0, 0
        workers, nodes = workers + (incident is WORKER), nodes + (incident is NODE)
        expected = workers <= 2 if incident is WORKER else nodes <= 3
        assert budget.allows(incident, step) == expected
