"""Schedulers of a sweep at work: what is stopped, what takes turns, and what copies what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sweeping
from driving import KILLED, drive, start, wait_until, write_job

import trainwright
from trainwright.api import load
from trainwright.checkpoint import CheckpointStore
from trainwright.search.space import Space
from trainwright.search.trials import Milestone, Trial, load_trials
from trainwright.storage import Folder
from trainwright.tracking import read_lineage

BASE: dict[str, Any] = {
    **sweeping.BASE,
    "data": {"source": "digits", "batch_size": 256, "validation": 0.3},
    "model": {"name": "mlp", "hidden": [8]},
    "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9},
    "training": {"epochs": 6},
}
SWEEP: dict[str, Any] = {
    **sweeping.SWEEP,
    "name": "sweep",
    "base": BASE,
    "space": {"optimizer.lr": {"loguniform": [1e-4, 1.0]}},
    "metric": "validation/loss",
}
POPULATION = {**SWEEP, "trials": 5, "scheduler": {"name": "pbt", "every": "1 epoch"}}
ALONE = {**BASE, "name": "alone", "cluster": {"workers": 0}, "tracking": {"enabled": False}}
STEPS_PER_EPOCH = 5


def trials_of(result: Any) -> list[Trial]:
    return load_trials(Folder(result.storage), Space.parse(SWEEP["space"]))


def storage_of(result: Any) -> Folder:
    return Folder(str(Path(result.storage).parent))


def metrics_of(folder: Folder) -> list[Any]:
    return [row for row in read_lineage(folder) if row["kind"] == "metrics"]


def checkpoints(run: str) -> list[str]:
    return [checkpoint.name for checkpoint in CheckpointStore(Folder("runs") / run).list()]


@pytest.mark.usefixtures("cluster")
class TestStopping:
    def test_asha_stops_at_rungs_and_stopped_trials_keep_no_checkpoints(self) -> None:
        asha = {"name": "asha", "grace": "1 epoch", "reduction": 2}
        result = trainwright.run(
            {**SWEEP, "trials": 8, "scheduler": asha, "cluster": {"workers": 1}}
        )
        trials = trials_of(result)
        stopped = [trial for trial in trials if trial.state == "stopped"]
        finished = [trial for trial in trials if trial.state == "finished"]
        assert stopped
        assert finished
        assert len(stopped) + len(finished) == 8
        for trial in stopped:
            assert trial.run is not None
            assert trial.curve[-1].epoch in (1.0, 2.0, 4.0), "between rungs nobody is stopped"
            assert checkpoints(trial.run) == []
        for trial in finished:
            assert trial.run is not None
            assert [m.step for m in trial.curve] == [STEPS_PER_EPOCH * k for k in range(1, 7)]
            assert checkpoints(trial.run)
        assert result.winner.state == "finished"


@pytest.fixture(scope="module")
def population(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Five members on one process, which they must share in turns."""
    storage = str(tmp_path_factory.mktemp("population"))
    values = {**POPULATION, "cluster": {"workers": 1}, "storage": storage}
    return trainwright.run(values)


@pytest.mark.slow
class TestPopulation:
    def test_all_train_to_the_end_and_keep_their_curves(self, population: Any) -> None:
        trials = trials_of(population)
        assert [trial.state for trial in trials] == ["finished"] * 5
        for trial in trials:
            steps = [milestone.step for milestone in trial.curve]
            assert steps == sorted(set(steps))
            assert steps[0] == STEPS_PER_EPOCH
            assert steps[-1] == trial.step == 6 * STEPS_PER_EPOCH

    def test_a_copy_goes_on_from_anothers_checkpoint_with_its_own_rate(
        self, population: Any
    ) -> None:
        storage = storage_of(population)
        copies = [s for trial in trials_of(population) for s in trial.segments if s.start_from]
        assert copies
        runs = {run for trial in trials_of(population) for run in own_runs(trial)}
        for segment in copies:
            assert segment.start_from is not None
            assert segment.run is not None
            url, checkpoint = segment.start_from
            assert url.rsplit("/", 1)[-1] in runs
            assert int(checkpoint.split("-")[1]) == segment.step
            rows = metrics_of(storage / segment.run)
            assert rows[0]["step"] == segment.step + 1
            assert rows[0]["values"]["train/lr"] == segment.assignment["optimizer.lr"]

    def test_nobody_copies_one_checkpoint_twice(self, population: Any) -> None:
        for trial in trials_of(population):
            places = [segment.start_from for segment in trial.segments]
            assert len(set(places)) == len(places)
            runs = own_runs(trial)
            assert len(set(runs)) == len(runs)

    def test_until_it_copies_it_is_what_it_would_be_alone(self, population: Any) -> None:
        """It has been paused for the others at every epoch, and went on from exactly there."""

        def own(trial: Trial) -> list[Milestone]:
            end = trial.segments[1].step if trial.segments else trial.step
            return [milestone for milestone in trial.curve if milestone.step <= end]

        trial = max(trials_of(population), key=lambda trial: len(own(trial)))
        assert len(own(trial)) > 1
        rate = (trial.segments[0] if trial.segments else trial).assignment["optimizer.lr"]
        alone = trainwright.run({**ALONE, "optimizer": {**BASE["optimizer"], "lr": rate}})
        known = {row["step"]: row["values"] for row in metrics_of(Folder(alone.storage))}
        for milestone in own(trial):
            for name in ("validation/loss", "validation/accuracy"):
                assert milestone.metrics[name] == known[milestone.step][name]

    def test_only_what_somebody_may_go_on_from_is_kept(self, population: Any) -> None:
        storage = storage_of(population)
        for trial in trials_of(population):
            for run in own_runs(trial):
                kept = [ck.step for ck in CheckpointStore(storage / run).list()]
                assert kept == ([6 * STEPS_PER_EPOCH] if run == trial.run else [])

    @pytest.mark.slow
    def test_it_ends_nearer_than_its_best_fixed_member(self, population: Any) -> None:
        fixed = trainwright.run({**SWEEP, "trials": 5, "cluster": {"workers": 1}})
        first = [trial.assignment for trial in trials_of(fixed)]
        members = trials_of(population)
        begun = [t.segments[0].assignment if t.segments else t.assignment for t in members]
        assert begun == first, "they are the same members to begin with"
        ends, alone = (
            [t.metrics["validation/loss"] for t in ts] for ts in (members, trials_of(fixed))
        )
        assert sum(ends) < 0.7 * sum(alone), "the worst are led to where the best are"
        assert min(ends) <= min(alone)


def own_runs(trial: Trial) -> list[str]:
    found = [segment.run for segment in trial.segments] or [trial.run]
    return [run for run in found if run is not None]


def test_a_copy_has_the_weights_and_the_momentum_of_its_donor_and_its_own_rate(
    tmp_path: Path,
) -> None:
    """As one run whose schedule doubles the rate where the copy begins; bit for bit."""
    from trainwright.orchestration.signals import StopRequest
    from trainwright.search.plan import make_plan
    from trainwright.search.trialling.course import TrialMonitor
    from trainwright.search.trialling.working import Kit, Task

    plan = make_plan(load({**POPULATION, "storage": str(tmp_path)}))
    kit = Kit(plan.jobs, "sweep", plan.storage.url, 0, False, True, 1.0, False, {})

    def trained(rate: float, start_from: tuple[str, str] | None = None) -> Folder:
        monitor = TrialMonitor(lambda milestone: None, waits=False, needs_checkpoints=True)
        report = Task(kit, 0, {"optimizer.lr": rate}, start_from).work(monitor, StopRequest())
        assert report.state == "finished", report.error
        assert report.run is not None
        return plan.storage / report.run

    donor = trained(0.05)
    place = CheckpointStore(donor).at(2 * STEPS_PER_EPOCH)
    copy = trained(0.1, (donor.url, place.name))
    schedule = {"name": "step", "milestones": ["2 epochs"], "gamma": 2.0}
    begun = {**ALONE, "optimizer": {**BASE["optimizer"], "lr": 0.05}, "schedule": schedule}
    whole = trainwright.run({**begun, "storage": str(tmp_path)})
    ends = [CheckpointStore(f).at(6 * STEPS_PER_EPOCH) for f in (copy, Folder(whole.storage))]
    assert "momentum_buffer" in ends[0].kinds()
    for kind in ends[0].kinds():
        for name in ends[0].names(kind):
            assert ends[0].full(kind, name).equal(ends[1].full(kind, name)), (kind, name)
    assert metrics_of(copy)[0]["step"] == 2 * STEPS_PER_EPOCH + 1


@pytest.mark.slow
def test_a_population_that_was_killed_goes_on(tmp_path: Path) -> None:
    """Also members that had been given another one's checkpoint and not yet begun with it."""
    training = {"epochs": 8}
    base = {**BASE, "training": training}
    job = write_job(tmp_path, {**POPULATION, "base": base, "cluster": {"workers": 1}})
    space = Space.parse(SWEEP["space"])
    seen: list[int] = []

    def known() -> list[Trial]:
        runs = (tmp_path / "runs").glob("sweep-*")
        sweeps = [folder for folder in runs if (folder / "trials").is_dir()]
        return load_trials(Folder(str(sweeps[0])), space) if sweeps else []

    def copies() -> int:
        return sum(len(trial.segments) for trial in known())

    for least in (2, 5):
        driver = start(job)
        wait_until(lambda least=least: copies() > least, what="members that copied")
        driver.kill()
        assert driver.wait() == KILLED
        seen.append(sum(len(trial.curve) for trial in known()))
    before = {trial.number: trial for trial in known()}
    assert drive(job) == 0
    for trial in known():
        assert trial.state == "finished"
        steps = [milestone.step for milestone in trial.curve]
        assert steps == sorted(set(steps))
        assert steps[-1] == trial.step == 8 * STEPS_PER_EPOCH
        earlier = before[trial.number].segments
        assert trial.segments[: len(earlier)][:-1] == earlier[:-1], "what it had been is kept"
        places = [segment.start_from for segment in trial.segments]
        assert len(set(places)) == len(places)
        for segment in trial.segments[1:]:
            assert segment.run is not None
            rows = metrics_of(Folder(str(tmp_path / "runs")) / segment.run)
            assert rows[0]["step"] == segment.step + 1
    assert seen == sorted(seen)
