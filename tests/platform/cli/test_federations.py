"""A federation on the command line: its progress in rounds, and what is said at its end."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from trainwright.cli.federations import FederationProgress, FederationScreen, summary
from trainwright.cli.views import LineView, LiveView
from trainwright.storage import Folder

JOB = """\
kind: federated
name: tiny-federation
data: {source: digits, batch_size: 32, validation: 0.3}
model: {name: mlp, hidden: [8]}
objective: cross_entropy
training: {steps: 1}
federation:
  rounds: 2
  clients: 12
  cohort: 4
  client_evaluation: {clients: 3, held_out: 0.2, personalise: {steps: 1}}
  decomposition: true
metrics: [accuracy]
tracking: {enabled: false}
"""


def at(round: int, **counted: float) -> dict[str, Any]:
    values = {"megabytes_up": 1.0, "megabytes_down": 0.5, "missing_clients": 0.0, **counted}
    return {
        "step": round,
        "total_steps": 40,
        "loss": 0.5,
        "samples_per_second": 99.0,
        "clients_per_second": 1234.4,
        "federation": {f"federation/{name}": value for name, value in values.items()},
    }


def test_progress_speaks_of_rounds_clients_and_megabytes() -> None:
    progress = FederationProgress()
    progress.update(at(3, missing_clients=7.0, dropped_updates=2.0, empty_rounds=1.0))
    assert progress.line() == (
        "round 3/40 (8%), loss 0.5, 1,234 clients/s, 1.5 MB sent, 7 answers missing, "
        "2 updates dropped, 1 empty rounds"
    )


def test_what_did_not_happen_is_not_told_and_epsilon_stays_until_it_is_known_anew() -> None:
    progress = FederationProgress()
    progress.update(at(1, epsilon=2.5))
    evaluated = {"validation/loss": 1.0, "client/loss/mean": 3.0}
    assert progress.update({**at(2), "metrics": evaluated})
    assert progress.counts() == ["1.5 MB sent", "epsilon 2.5"]
    assert progress.values() == ["loss 0.5", "1,234 clients/s", "validation/loss 1"]


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_picture_has_a_third_line_and_is_never_wider_than_the_terminal(width: int) -> None:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    view = FederationScreen(None).view(console, "job.yaml", quiet=False)  # type: ignore[arg-type]
    assert isinstance(view, LiveView)
    assert len(console.render_lines(view._render(), pad=False)) == 1
    view.show(at(7, missing_clients=123456.0, dropped_updates=4.0, epsilon=1.0))
    picture = console.render_lines(view._render(), pad=False)
    assert len(picture) == 3
    assert all(sum(segment.cell_length for segment in line) <= width for line in picture)


def test_a_log_gets_lines_of_rounds() -> None:
    console = Console(file=io.StringIO(), width=200)
    view = FederationScreen(None).view(console, "job.yaml", quiet=False)  # type: ignore[arg-type]
    assert isinstance(view, LineView)
    seconds = iter(range(0, 1000, 60))
    with LineView(console, lambda: next(seconds), FederationProgress()) as view:
        view.show({**at(2), "metrics": {"validation/loss": 1.0}})
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().startswith("round 2/40 (5%), loss 0.5, 1,234 clients/s, ")


def test_the_summary_groups_the_model_its_clients_and_what_it_took() -> None:
    console = Console(file=io.StringIO(), width=80)
    values = {
        "federation/megabytes_up": 1.0,
        "federation/megabytes_down": 2.0,
        "federation/epsilon": 1.5,
        "client/accuracy/worst": 0.25,
        "client/accuracy/mean": 0.75,
        "client/perplexity/mean": 9.0,
        "personalised/accuracy/mean": 0.875,
        "decomposition/local_loss": 0.5,
        "decomposition/aggregation": -0.25,
        "decomposition/distribution_shift": 0.125,
        "validation/accuracy": 0.5,
        "train/loss": 2.0,
    }
    console.print(summary(values))
    assert isinstance(console.file, io.StringIO)
    lines = [" ".join(line.split()) for line in console.file.getvalue().splitlines()]
    assert lines == [
        "validation/accuracy 0.5",
        "train/loss 2",
        "",
        "mean std p10 worst",
        "client/accuracy 0.75 0.25",
        "client/perplexity 9",
        "personalised/accuracy 0.875",
        "",
        "loss = local loss 0.5 + distribution shift 0.125 + aggregation -0.25",
        "",
        "3 MB sent, epsilon 1.5",
    ]


def test_a_run_is_told_in_rounds_from_its_check_to_the_list_of_runs(
    call: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "job.yaml").write_text(JOB)
    said = call("run", "job.yaml")
    assert said.status == 0, said.err
    assert "2 rounds in" in said.out
    assert "personalised/accuracy" in said.out
    assert " MB sent" in said.out
    assert "2/2 rounds" in call("runs", width=80).out
    assert "2/2 rounds" in call("runs", width=200).out
    (entry,) = call("runs", "--json").json["runs"]
    assert (entry["steps"], entry["unit"]) == (2, "rounds")
    plots = {path.name for path in (tmp_path / "runs" / entry["run"] / "plots").iterdir()}
    assert {"clients.png", "loss.png", "decomposition.png", "clients-accuracy.png"} <= plots
    again = call("run", "job.yaml", "--json").json
    assert (again["status"], again["steps"], again["unit"]) == ("finished", 2, "rounds")
    _stopped_after_the_first_round(Folder(str(tmp_path / "runs" / entry["run"])))
    assert "was interrupted at round 1 of 2; running it" in call("validate", "job.yaml").out


def _stopped_after_the_first_round(folder: Folder) -> None:
    record = folder.read_object("run.json")
    assert record is not None
    folder.write_json("run.json", {**record, "status": "interrupted", "steps": 1})
