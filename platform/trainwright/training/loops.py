"""The loop of one worker, from the parts of a job."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from trainwright.engine import Engine
from trainwright.strategy.compose import using
from trainwright.training.assembly import Assembly
from trainwright.training.counted_feed import CountedFeed
from trainwright.training.evaluate import Evaluator, Metric
from trainwright.training.feed import Feed
from trainwright.training.feeds import make_feed
from trainwright.training.guard import Guard
from trainwright.training.loop import Loop
from trainwright.training.progress import Progress
from trainwright.training.recorder import Recorder
from trainwright.training.update import Updater


def make_loop(
    assembly: Assembly,
    engine: Engine,
    metrics: Sequence[Metric],
    recorder: Recorder,
    progress: Progress,
    guard: Guard,
) -> Loop:
    """The loop of one worker for a phase, from what it was assembled to."""
    job, settings, splits = assembly.job, engine.settings, assembly.splits
    hooks = list(assembly.strategies.values())
    cut_for = assembly.context.cut_for
    share = -(-assembly.plan.batch_size // cut_for)
    # Where workers have gone, those that are left need no more memory than before.
    fewer = settings.world_size < cut_for
    micro = job.training.micro_batch_size or (share if fewer else None)
    feed: Feed = make_feed(
        splits.train,
        assembly.train_transforms or splits.transforms,
        assembly.timetable,
        orders=assembly.orders,
        rank=settings.rank,
        world_size=settings.world_size,
        micro_batch_size=micro,
        first=progress.began,
        epochs=progress.epochs,
    )
    if assembly.terms.needs_counts and not using(hooks, "batch"):
        feed = CountedFeed(feed, assembly.terms, assembly.timetable, engine, progress.began)
    evaluation_size = job.training.evaluation_batch_size or micro or share
    evaluator = Evaluator(
        engine,
        assembly.terms,
        metrics,
        splits.transforms,
        evaluation_size,
        assembly.context,
        hooks,
        table_of=partial(getattr, splits),
    )
    return Loop(
        engine=engine,
        feed=feed,
        updater=Updater(
            engine, assembly.terms, hooks, assembly.auxiliaries, assembly.streams, guard
        ),
        evaluator=evaluator,
        recorder=recorder,
        guard=guard,
        strategies=hooks,
        context=assembly.context,
        timetable=assembly.timetable,
        splits=splits,
        schedule=assembly.factor,
        progress=progress,
        record_samples=job.training.record_samples,
    )
