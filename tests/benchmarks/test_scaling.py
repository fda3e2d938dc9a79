"""The scaling benchmark: its model of larger sizes against closed forms, and its page."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from common.pairs import Ratio, Side
from scaling import bottlenecks, measure, predict
from scaling.benchmark import BENCHMARK
from scaling.cases import Case, cases_of, numbers_of_workers
from scaling.group import groups_of
from scaling.links import Line, line_through
from scaling.machines import ASSUMED
from scaling.measured import network_here, validation, workload_of
from scaling.model import Network, Workload, expected_maximum, hierarchical_s, ring_s, shared
from scaling.model import predict as predicted
from scaling.results import Costs, Scaled, Scaling, Step
from scipy.stats import norm

COLLECTIVES = ("all_reduce", "reduce_scatter", "all_gather")
WORK = Workload("a model", 1000, 10, 32, 0.1, 0.02, 0.05, 4000.0, 12000.0, 0.1)


def test_a_ring() -> None:
    """Of four: six messages, and three halves of the bytes."""
    assert ring_s(4, 1000.0, 0.5, 0.01) == pytest.approx(6 * 0.5 + 1.5 * 1000 * 0.01)
    assert ring_s(1, 1000.0, 0.5, 0.01) == 0


def test_nodes_share_their_link() -> None:
    network = Network(0.0, 1.0, per_node=8, alpha_in_s=0.0, beta_in_s=0.1)
    inside = ring_s(8, 100.0, 0.0, 0.1)
    assert hierarchical_s(8, 100.0, network) == pytest.approx(inside)
    assert hierarchical_s(32, 100.0, network) == pytest.approx(inside + 1.5 * 100)
    # Latency is that of a tree: 512 nodes are nine levels, up and down.
    latency = Network(1.0, 0.0, per_node=8)
    assert hierarchical_s(4096, 100.0, latency) == 18


@pytest.mark.parametrize("spread", [0.01, 0.1, 0.5])
def test_who_waits_for_the_slower_of_two(spread: float) -> None:
    """E max of two lognormal numbers is 2 exp(s^2 / 2) Phi(s / sqrt 2)."""
    assert expected_maximum(1, spread) == pytest.approx(1.0, abs=1e-9)
    expected = 2 * norm.cdf(spread / math.sqrt(2))
    assert expected_maximum(2, spread) == pytest.approx(expected, rel=1e-6)


def test_who_waits_for_the_slowest_of_many() -> None:
    draws = np.random.default_rng(0).normal(size=(4000, 256))
    largest = np.exp(0.3 * draws).max(axis=1).mean() / math.exp(0.3**2 / 2)
    assert expected_maximum(256, 0.3) == pytest.approx(largest, rel=0.02)


def test_what_hides_behind_the_backward_pass() -> None:
    network = Network(alpha_s=0.0, beta_s=1e-5)
    alone = predicted(WORK, network, 1)
    assert alone.efficiency == pytest.approx(1.0)
    assert alone.samples_per_second == pytest.approx(320)
    open_ = predicted(WORK, network, 2)
    hidden = predicted(WORK, network, 2, overlapped=True)
    assert open_.exchange_s == pytest.approx(0.04)
    assert hidden.exchange_s == pytest.approx(0.004)
    slower = predicted(WORK, Network(0.0, 1e-4), 2, overlapped=True)
    assert slower.exchange_s == pytest.approx(0.4 - WORK.backward_s)


def test_strong_scaling_shares_samples_and_not_the_optimizer() -> None:
    part = shared(WORK, 4)
    assert part.compute_s == pytest.approx(0.02 + 0.08 / 4)
    assert (part.samples, part.gradient_bytes) == (8, WORK.gradient_bytes)


def test_a_line_is_found_again() -> None:
    generator = np.random.default_rng(1)
    sizes = [float(4**power) for power in range(5, 13)]
    times = [list((1e-4 + 2e-9 * size) * np.exp(generator.normal(0, 0.05, 25))) for size in sizes]
    line = line_through(sizes, times)
    assert line.fixed == pytest.approx(1e-4, rel=0.05)
    assert line.each == pytest.approx(2e-9, rel=0.05)
    assert line.fixed_low < line.fixed < line.fixed_high
    assert line.each_low < line.each < line.each_high
    flat = line_through([1.0, 2.0, 4.0], [[3.0], [2.9], [2.8]])
    assert (flat.fixed, flat.each) == (2.9, 0.0)


def test_numbers_of_workers_and_cases() -> None:
    assert numbers_of_workers(1) == [1, 2]
    assert numbers_of_workers(2) == [1, 2, 4]
    assert numbers_of_workers(6) == [1, 2, 4, 8]
    found = cases_of("mlp", 2, [1, 2], 5)
    assert [(case.workers, case.way) for case in found] == [(1, "weak"), (2, "weak"), (2, "strong")]
    assert [case.batch_size for case in found] == [64, 128, 64]


def record() -> dict[str, Any]:
    """As the benchmark leaves it, with costs of the order that was measured."""

    def line(fixed: float, each: float) -> Line:
        return Line(fixed, 0.9 * fixed, 1.1 * fixed, each, 0.9 * each, 1.1 * each)

    def one(value: float) -> Side:
        return Side(value, 0.9 * value, 1.1 * value)

    costs = Costs(
        steps={"mlp": Step(301066, 64, one(4e-4), one(8e-4), one(5e-4), 0.05)},
        crowds={"2": {"mlp": 1.25}, "4": {"mlp": 2.5}},
        links={
            "2": dict.fromkeys(("all_reduce", "reduce_scatter", "all_gather"), line(4e-4, 5e-10))
        },
        copy=line(2e-6, 2e-11),
        board=one(3e-4),
        board_by_workers={"1": one(3e-4)},
        call=one(5e-4),
        reporting={"64": 0.02},
        vitals=one(0.05),
        places={"8": one(4e-3)},
        look=one(6e-4),
        poll=line(1e-3, 3.6e-4),
        launch=line(3.0, 1.0),
        launch_controller=line(0.5, 0.01),
        imports=one(2.5),
        row=one(5e-6),
        batch=None,
        checkpoint=one(4e-9),
        commit=line(0.0, 1.5e-5),
    )
    scaled = [
        Scaled(
            case=case,
            oversubscribed=case.workers > 2,
            seconds=dict.fromkeys(measure.SIDES, one(0.002 * case.workers)),
            efficiency=dict.fromkeys(measure.SIDES, Ratio(0.5, 0.4, 0.6, 9)),
            against_bare=Ratio(1.01, 1.0, 1.02, 9),
            samples_per_second=dict.fromkeys(measure.SIDES, 1234.0),
            worst_loss_difference=0.0,
        )
        for case in cases_of("mlp", 0, [1, 2, 4], 9)
    ]
    versions = dict.fromkeys(("commit", "processor", "torch", "ray"), "some")
    return {
        "date": "2026-11-30",
        "machine": {"cpus": 2, **versions},
        "results": json.loads(json.dumps(asdict(Scaling(2, scaled, costs)))),
    }


def test_the_control_plane_takes_4096_workers() -> None:
    """At the costs that were measured here; before their number counted, it did not take 600."""
    costs = record()["results"]["costs"]
    for load in bottlenecks.loads(costs, ASSUMED[-1].work.tensors):
        assert load.share(4096) < bottlenecks.SATURATED, load.what
    former = bottlenecks.former_loads(costs)
    assert former[0].reaches(bottlenecks.SATURATED) < 600
    assert former[1].reaches(bottlenecks.SATURATED) < 4096


def test_the_fewest_workers_that_take_a_share() -> None:
    load = bottlenecks.Load("", lambda workers: workers / 1000)
    assert load.reaches(0.05) == 50
    assert load.reaches(1.0) == 1000
    assert bottlenecks.Load("", lambda workers: 0.01).reaches(0.05) is None


def test_what_the_record_says_of_two_workers() -> None:
    results = record()["results"]
    assert network_here(results, 0) == Network(alpha_s=2e-4, beta_s=5e-10)
    assert network_here(results, 2) == Network(alpha_s=4e-4, beta_s=1e-9)
    work = workload_of(results, "mlp", 0)
    assert work.compute_s == pytest.approx(2e-3)
    assert work.fixed_s == pytest.approx(8e-4)
    weak, strong, crowded, _ = validation(results)
    exchange = 4e-4 + 4 * 301066 * 5e-10
    slowest = 2 * norm.cdf(0.05 / math.sqrt(2))
    assert weak.predicted_s == pytest.approx(1.25 * 2e-3 * slowest + exchange)
    assert strong.predicted_s == pytest.approx(1.25 * (8e-4 + 1.2e-3 / 2) * slowest + exchange)
    assert weak.error == pytest.approx(weak.predicted_s / 4e-3 - 1)
    assert crowded.oversubscribed
    assert crowded.predicted_s > 2.5 * 2e-3


def test_the_page_says_that_nothing_was_measured() -> None:
    page = predict.page(record())
    assert page.startswith("# Predictions\n\nNothing on this page was measured")
    committed = predict.ROOT / "PREDICTIONS.md"
    if committed.exists():  # written by `make bench`, by the same words

        def headings(text: str) -> list[str]:
            return [line for line in text.splitlines() if line.startswith("#")]

        assert headings(committed.read_text()) == headings(page)
    assert "| 4,096 |" in page
    assert "## Assumptions" in page
    assert "the controller asked all workers five times a second" in page
    assert "| mlp | 0 | 4, more than cores | weak |" in page


def test_tables_of_a_record() -> None:
    text = "\n".join(BENCHMARK.tables(record()["results"]))
    assert "| mlp | 0 | 2 | strong | 4.00 (3.60 to 4.40) | 1,234 | 0.500 [0.400, 0.600] |" in text
    assert "| message to the board, its processor | 300.00 (270.00 to 330.00) us |" in text
    assert "MLflow" not in text


class Stubborn:
    """A group whose losses differ."""

    def ask(self, what: str, *arguments: Any) -> float | None:
        return {"open": None, "turn": 1.0, "close": 0.5}[what]


def test_losses_that_differ_are_noticed() -> None:
    case = Case("mlp", 0, 1, "weak", 3)
    with pytest.raises(AssertionError, match=r"the losses differ by 5.00e-01"):
        measure._scaled({1: Stubborn()}, [case])  # type: ignore[dict-item]


def test_a_worker_that_is_no_more_is_noticed(tmp_path: Path) -> None:
    """The others would wait for it for ever."""
    with groups_of([2], tmp_path) as groups:
        killed = groups[2]._processes[1]
        killed.kill()
        killed.join()
        message = r"worker 1 of 2 ended with status -9: was there too little memory\?"
        with pytest.raises(RuntimeError, match=message):
            groups[2].ask("links", [8], 1)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_short_form() -> None:
    results = json.loads(json.dumps(BENCHMARK.run(2, True)))
    assert {row["case"]["model"] for row in results["scaled"]} == {"mlp"}
    assert results["scaled"][0]["efficiency"]["ours"]["median"] == 1
    assert 0 < results["costs"]["board"]["median"] < 0.1
    assert BENCHMARK.tables(results)
