"""A sweep from beginning to end: its trials proposed, run and judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from trainwright.compare.pool import on_cluster
from trainwright.errors import InputError, Interrupted, JobError, Problem
from trainwright.job.cluster_spec import Processes
from trainwright.orchestration.live import LiveRecord, true_ending
from trainwright.orchestration.machine import does_not_fit, does_not_fit_here, ray_is_running_here
from trainwright.orchestration.prepare import located
from trainwright.orchestration.quiet import QUIET, output_to, set_defaults
from trainwright.orchestration.reach import store_environment
from trainwright.orchestration.request import Request
from trainwright.orchestration.shipping import driver_log, shipping
from trainwright.orchestration.signals import StopRequest, catch_signals
from trainwright.orchestration.sole import sole_driver
from trainwright.orchestration.validation import Validation
from trainwright.overview import unsent_remark
from trainwright.runs import JOB, RESOLVED, RunRecord, run_folder
from trainwright.search.algorithms.building import make_algorithm
from trainwright.search.jobs import SweepJobFile
from trainwright.search.journal import SweepJournal
from trainwright.search.plan import Plan, make_plan
from trainwright.search.publishing import drawn, publish, result_of, write_result
from trainwright.search.results import Sweep, so_far
from trainwright.search.settling import settle
from trainwright.search.spec import PbtSpec
from trainwright.search.trialling.book import Book
from trainwright.search.trials import Trial, load_trials
from trainwright.secrets import mask, public_values
from trainwright.storage import Folder
from trainwright.tracking.uri import absolute_uri

if TYPE_CHECKING:
    from trainwright.search.trialling.driving import Driving

SECONDS_BETWEEN_LOOKS = 0.25
SECONDS_TO_HALT = 5.0
"""At a second Ctrl-C Tune notices it at its next turn, within a fraction of a second."""


@dataclass(frozen=True)
class StartedSweep:
    """What is known once a sweep has been found good, before its trials start.

    Attributes:
        plan: what will be tried.
        folder: the folder of its own run.
        continues: whether an earlier attempt goes on.
        num_kept: trials that have ended already.
    """

    plan: Plan
    folder: Folder
    continues: bool
    num_kept: int


def validate_sweep(job: SweepJobFile) -> Validation:
    """Check a sweep whole, with examples of its trials; nothing is started.

    Raises:
        InputError: it would not run; every problem has its place in the sweep's file.
    """
    plan = make_plan(job)
    _refuse_too_large(plan)
    spec = job.spec
    does = "varied" if isinstance(spec.scheduler, PbtSpec) else "stopped"
    scheduler = f", {does} by {spec.scheduler.name}" if spec.scheduler else ""
    total = plan.total_trials
    summary = [
        f"{total if total is not None else 'all'} trials by {spec.algorithm.name}{scheduler}, "
        f"for {' and '.join(map(str, plan.judge.goals))}",
        *(f"{p.name}: {p.domain.describe()}" for p in plan.space.parameters),
        f"a trial: {'; '.join(plan.checked.summary)}",
    ]
    remarks = [] if plan.is_light else list(plan.checked.remarks)
    return Validation.of(plan.storage, plan.name, total or 0, summary, remarks, "trials")


def run_sweep(job: SweepJobFile, request: Request) -> Sweep:
    """Run a sweep, or go on with it: what has ended is not done again.

    Raises:
        InputError: it cannot run; nothing was started.
        RunError: the cluster cannot be used.
        Interrupted: it was asked to stop; trials that were running wrote checkpoints.
    """
    set_defaults(QUIET)
    plan = make_plan(job)
    _refuse_too_large(plan)
    folder = run_folder(plan.storage, plan.name, request.fresh)
    with sole_driver(folder):
        earlier = RunRecord.load(folder)
        algorithm = make_algorithm(job.spec, plan.sampler, plan.judge)
        book = Book(plan, folder, algorithm, load_trials(folder, plan.space))
        if request.started is not None:
            request.started(StartedSweep(plan, folder, earlier is not None, book.num_ended))
        if earlier is not None and earlier.status == "finished" and book.is_complete:
            found = publish(plan, folder, earlier, book.trials)
            return replace(found, already_finished=True)
        record = earlier or RunRecord(plan.name, unit="trials")
        record.name = folder.url.rstrip("/").rsplit("/", 1)[-1]
        record.unit, record.total_steps = "trials", plan.total_trials or 0
        record.claim()
        folder.write_bytes(JOB, mask(job.source).encode())
        folder.write_json(RESOLVED, public_values(job.spec))
        record.save(folder)
        return _run(plan, folder, record, book, request)


def _refuse_too_large(plan: Plan) -> None:
    """Refuse trials that can never fit, with the arithmetic."""
    with located(plan.job):
        problems = does_not_fit_here(plan.job.spec.cluster.as_cluster())
        if problems:
            raise InputError(problems)
    _refuse_if_none(plan, does_not_fit_here)


def _refuse_if_none(plan: Plan, why_not: Callable[[Processes], list[Problem]]) -> None:
    """Refuse a sweep of whose trials not one can ever fit; others are refused one by one."""
    found = [why_not(cluster) for cluster in plan.clusters]
    if all(found):
        with plan.example.inner.told(), located(plan.job):
            raise JobError(found[0])


def _run(plan: Plan, folder: Folder, record: RunRecord, book: Book, request: Request) -> Sweep:
    with shipping(plan.job, plan.storage, folder, record), true_ending(record, folder):
        journal = SweepJournal(plan.judge, folder)

        def show(progress: Mapping[str, Any]) -> None:
            journal.follow(progress.get("trials", ()))
            if request.show is not None:
                request.show(progress)

        live = LiveRecord(record, folder, show)
        with journal, live, catch_signals(request.stop) as stop:
            live.when_lost(stop.request)
            with output_to(driver_log(folder)), _leaving(book, plan):
                if not book.is_complete:  # an attempt may have been killed after its last trial
                    _work(plan, folder, book, live, stop)
            journal.follow(book.trials)
            live.check()
        is_complete = book.is_complete
        record.steps = book.num_ended
        record.status = "finished" if is_complete else "interrupted"
        with output_to(driver_log(folder)):
            result = publish(plan, folder, record, book.trials)
            record.metrics = result.metrics
            if is_complete:
                result = drawn(plan, folder, book.trials, result)
    completed = result_of(plan, folder, record, book.trials)
    write_result(completed, folder)
    if not is_complete:
        told = so_far(completed, plan.total_trials)
        raise Interrupted(f"stopped {told}. The same command continues from there")
    unsent = unsent_remark(folder, record)
    remarks = [*result.remarks, *([unsent] if unsent else [])]
    return replace(completed, remarks=remarks)


def _work(plan: Plan, folder: Folder, book: Book, live: LiveRecord, stop: StopRequest) -> None:
    """Let trials run until there are none left, or somebody asks to stop."""
    from trainwright.search.trialling.driving import Driving, room_for
    from trainwright.search.trialling.wall import wall_here

    pool = plan.job.spec.cluster
    stays = ray_is_running_here()
    with located(plan.job), on_cluster(pool):
        import ray

        resources = {name: float(n) for name, n in ray.cluster_resources().items()}
        _refuse_if_none(plan, lambda cluster: does_not_fit(cluster, resources))
        room = room_for(plan, resources)
        _refuse_crowded_population(plan, room.side_by_side)
        board = _Board(plan, book, live, stop)
        live({"remark": room.told})
        with wall_here() as wall:
            kit = _kit(plan, folder, room.cpus)
            ended = -1
            # Tune forgets trials in some failures of its own; they get another chance.
            while ended < book.num_ended and not (book.is_complete or stop.requested):
                ended = book.num_ended
                book.begin_again()
                driving = Driving(plan, folder, book, kit, room, wall, cluster_stays=stays)
                _drive(driving, book, board, wall)


def _drive(driving: Driving, book: Book, board: _Board, wall: Any) -> None:
    """Pass on how trials fare until Tune has nothing left to do."""
    import ray

    driving.start()
    try:
        while driving.is_alive():
            driving.join(timeout=SECONDS_BETWEEN_LOOKS)
            book.stopping = board.is_stopping
            board.tell(ray.get(wall.posted.remote(book.stopping)))
    except BaseException:
        # Tune works in a thread, which would go on where this process does.
        book.stopping = book.halted = True
        ray.kill(wall)  # with it the trials are given up
        driving.join(timeout=SECONDS_TO_HALT)
        raise
    if driving.error is not None:
        raise driving.error


def _refuse_crowded_population(plan: Plan, room: int) -> None:
    members = plan.most_trials or 0
    if isinstance(plan.job.spec.scheduler, PbtSpec) and not plan.is_here and members > room:
        message = (
            f"a population of {members} jobs with workers of their own must run side by side, and "
            f"there is room for {room}"
        )
        mend = "let a trial train in one process, or use fewer trials or workers"
        raise JobError(Problem("trials", message, members, allowed=f"at most {room}", mend=mend))


def _kit(plan: Plan, folder: Folder, cpus: float) -> Any:
    from trainwright.search.trialling.working import Kit

    spec = plan.job.spec
    is_population = isinstance(spec.scheduler, PbtSpec)
    return Kit(
        jobs=plan.jobs,
        parent=folder.url.rstrip("/").rsplit("/", 1)[-1],
        storage=plan.storage.url,
        retries=spec.cluster.max_failures,
        waits=spec.scheduler is not None,
        needs_checkpoints=is_population,
        cpus=cpus,
        uses_gpu=spec.cluster.gpus_per_worker > 0,
        stores=store_environment(),
        tracking_uri=spec.tracking.uri and absolute_uri(spec.tracking.uri),
    )


@contextmanager
def _leaving(book: Book, plan: Plan) -> Iterator[None]:
    """Afterwards no trial counts as running, and stopped ones hold no checkpoints."""
    try:
        yield
    finally:
        try:
            settle(book.touched, plan.storage)
        finally:
            book.leave()


class _Board:
    """Passes on how all trials fare."""

    def __init__(self, plan: Plan, book: Book, live: LiveRecord, stop: StopRequest) -> None:
        self._plan, self._book, self._live, self._stop = plan, book, live, stop
        self._progress: dict[int, Mapping[str, Any]] = {}
        self._remarks: list[str] = []
        book.changed = self._changed

    @property
    def is_stopping(self) -> bool:
        """Whether somebody asked to stop."""
        return self._stop.requested

    def _changed(self, trial: Trial, remark: str | None) -> None:
        if remark is not None:
            self._remarks.append(remark)

    def tell(self, posted: Mapping[int, Mapping[str, Any]]) -> None:
        """Pass on what is new."""
        self._progress.update(posted)
        remarks, self._remarks = self._remarks, []
        self._live(
            {
                "trials": list(self._book.trials),
                "posted": self._progress,
                "step": self._book.num_ended,
                "total_steps": self._plan.total_trials or 0,
                "stopping": self.is_stopping,
                "remarks": remarks,
            }
        )
