"""Sweeps on Ray: trials that are stopped, fail, are killed or interrupted, and what is left."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from driving import living, wait_until
from sweeping import ASHA, BASE, SWEEP, attempts, begun, children, trials_in, troubled

import trainwright
from trainwright.storage import Folder

pytestmark = pytest.mark.timeout(1200)


@pytest.mark.usefixtures("cluster")
class TestOnRay:
    @pytest.mark.slow
    def test_stopped_trials_leave_their_actors_to_others(self) -> None:
        remarks: list[str] = []

        def watch(progress: Mapping[str, Any]) -> None:
            remarks.extend([progress["remark"]] if "remark" in progress else [])

        result = trainwright.run({**SWEEP, "scheduler": ASHA}, progress=watch)
        assert result.status == "finished"
        counts = result.counts()
        assert set(counts) == {"finished", "stopped"}
        assert sum(counts.values()) == 6
        assert remarks == ["2 trials side by side, 0.5 CPU each, of 2 CPU"]
        storage = Folder("runs")
        records = children(storage)
        assert len(records) == 6
        assert len({record.driver["pid"] for record in records.values()}) == 2
        assert {record.parent for record in records.values()} == {result.run}
        for row in result.trials:
            assert row.run is not None
            finished = row.state == "finished"
            assert records[row.run].status == ("finished" if finished else "interrupted")
            assert (storage / row.run).exists("checkpoints") == finished
            assert row.seconds > 0
        known = json.loads((Path("runs") / result.run / "children.json").read_text())
        assert set(known) == set(records)
        best = yaml.safe_load((Path("runs") / result.run / "best.yaml").read_text())
        assert best["optimizer"]["lr"] == result.winner.assignment["optimizer.lr"]

    def test_trouble_of_a_trial_is_not_the_sweeps(self, tmp_path: Path) -> None:
        kinds = ["none", "error", "once", "kill", "nan"]
        remarks: list[str] = []

        def watch(progress: Mapping[str, Any]) -> None:
            remarks.extend([progress["remark"]] if "remark" in progress else [])

        result = trainwright.run(troubled(tmp_path, kinds), progress=watch)
        assert result.status == "finished"
        states = {row.assignment["strategies.0.kind"]: row.state for row in result.trials}
        assert states == {
            "none": "finished",
            "error": "failed",
            "once": "finished",
            "kill": "finished",
            "nan": "failed",
        }
        assert attempts(tmp_path) == {"none": 1, "error": 2, "once": 2, "kill": 2, "nan": 1}
        trials = {t.assignment["strategies.0.kind"]: t for t in trials_in(Folder("runs"))}
        assert [len(trials[kind].failures) for kind in kinds] == [0, 1, 1, 1, 0]
        assert "its process was lost: killed by signal 9 (SIGKILL)" in trials["kill"].failures[0]
        assert "ValueError: this trial is in trouble" in trials["once"].failures[0]
        assert "this trial is in trouble" in trials["error"].reason
        records = children(Folder("runs"))
        assert records[trials["error"].run or ""].status == "failed"
        [told] = [remark for remark in remarks if "trial 1 failed" in remark]
        assert "strategies.0.kind=error" in told
        assert "\n" not in told

    @pytest.mark.slow
    def test_stopped_and_continued(self) -> None:
        values = {**SWEEP, "base": {**BASE, "training": {"epochs": 30}}, "trials": 4}
        calm = trainwright.run({**values, "storage": "calm"})
        asked: list[str] = []

        def watch(progress: Mapping[str, Any]) -> None:
            states = [trial.state for trial in progress.get("trials", [])]
            if not asked and "finished" in states and "running" in states:
                asked.append("stop")
                os.kill(os.getpid(), signal.SIGINT)

        with pytest.raises(trainwright.Interrupted, match="trials ended"):
            trainwright.run(values, progress=watch)
        assert "running" not in {record.status for record in children(Folder("runs")).values()}
        assert "running" not in {trial.state for trial in trials_in(Folder("runs"))}
        result = trainwright.run(values)
        assert [row.values for row in result.trials] == [row.values for row in calm.trials]

    @pytest.mark.slow
    def test_a_second_interrupt_leaves_nothing_behind(self, tmp_path: Path) -> None:
        """In a Ray cluster that goes on, as that of a notebook does."""
        (tmp_path / "hold").touch()
        values = troubled(tmp_path, ["hold", "hold"], space={"optimizer.lr": {"grid": [0.1, 0.2]}})
        values["base"]["strategies"][0]["kind"] = "hold"
        asked: list[str] = []

        def watch(progress: Mapping[str, Any]) -> None:
            if len(asked) < 2 and attempts(tmp_path)["hold"]:
                asked.append("stop")
                os.kill(os.getpid(), signal.SIGINT)

        with pytest.raises(KeyboardInterrupt):
            trainwright.run(values, progress=watch)
        (tmp_path / "hold").unlink()
        actors = [psutil.Process(pid) for _, pid in begun(tmp_path) if psutil.pid_exists(pid)]
        wait_until(lambda: not living(actors), what="the end of the actors")
        result = trainwright.run(values)
        assert result.counts() == {"finished": 2}

    @pytest.mark.slow
    def test_whole_jobs_with_workers_of_their_own(self) -> None:
        space = {"cluster.workers": {"grid": [2, 9]}, "optimizer.lr": {"grid": [0.05, 0.5]}}
        base = {**BASE, "cluster": {"workers": 2, "cpus_per_worker": 0.5}}
        values = {**SWEEP, "base": base, "space": space, "algorithm": "grid"}
        del values["trials"]
        remarks: list[str] = []

        def watch(progress: Mapping[str, Any]) -> None:
            remarks.extend([progress["remark"]] if "remark" in progress else [])

        result = trainwright.run(values, progress=watch)
        assert result.counts() == {"finished": 2, "refused": 2}
        assert remarks[0] == "2 trials side by side, 2 workers x 0.5 CPU each, of 2 CPU"
        refused = [row for row in result.trials if row.state == "refused"]
        assert all("9 workers x 0.5 CPU = 4.5, but there are 2" in row.error for row in refused)
        finished = [row for row in result.trials if row.state == "finished"]
        records = children(Folder("runs"))
        assert [records[str(row.run)].workers for row in finished] == [2, 2]

    @pytest.mark.slow
    def test_federations_are_judged_by_rounds(self) -> None:
        federated = {
            **BASE,
            "kind": "federated",
            "training": {"epochs": 1},
            "federation": {"rounds": 40, "clients": 20},
        }
        result = trainwright.run({**SWEEP, "base": federated, "scheduler": ASHA, "trials": 5})
        counts = result.counts()
        assert counts.get("stopped", 0) >= 1
        assert counts["finished"] >= 1
        stopped = [row for row in result.trials if row.state == "stopped"]
        assert all(0 < row.steps < 40 for row in stopped)

    @pytest.mark.slow
    def test_starting_weights_are_used(self) -> None:
        """Which a run that is trained inside another process would not know of."""
        source = trainwright.run({**BASE, "name": "source", "cluster": {"workers": 0}})
        weights = f"runs/{source.run}/export/model.safetensors"
        base = {**BASE, "model": {**BASE["model"], "weights": weights}, "training": {"steps": 1}}
        still = {"optimizer.lr": {"grid": [1e-12, 2e-12]}}
        values = {**SWEEP, "base": base, "space": still, "algorithm": "grid"}
        del values["trials"]
        result = trainwright.run(values)
        accuracy = source.metrics["validation/accuracy"]
        assert [row.values["validation/accuracy"] for row in result.trials] == [accuracy] * 2
