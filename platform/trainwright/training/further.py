"""Building what strategies bring along: aux models and streams."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from trainwright.data.loading import Splits
from trainwright.data.order import split_updates
from trainwright.data.random import key
from trainwright.data.rows import Rows
from trainwright.data.transforms import TransformChain
from trainwright.engine.module import NamedModel
from trainwright.errors import MISSING, JobError, Problem
from trainwright.strategy import Context, Plan, Strategy, Stream
from trainwright.suggest import nearest, one_of
from trainwright.training.auxiliary import Auxiliaries, Auxiliary
from trainwright.training.feed import Feed
from trainwright.training.feeds import make_feed
from trainwright.training.orders import Orders
from trainwright.training.randomness import same_draws, seed_all
from trainwright.training.streams import Streams
from trainwright.training.timetable import Timetable


@contextmanager
def refusals(path: str, name: str) -> Iterator[None]:
    """Tell a strategy's ``ValueError`` as the user's mistake, with its place in the job."""
    try:
        yield
    except ValueError as error:
        raise JobError(Problem(path=path, message=f"{name}: {error}")) from error


def build_auxiliaries(
    strategies: Mapping[str, Strategy], model: NamedModel, context: Context
) -> Auxiliaries:
    """All aux models, equal on every worker; the draws of what is built later do not change.

    Raises:
        JobError: a strategy refuses, or two give a model the same name.
    """
    found = Auxiliaries()
    for index, (name, strategy) in enumerate(strategies.items()):
        path = f"strategies.{index}"
        with refusals(path, name), same_draws(context.device):
            seed_all(context.seed, "aux", name)
            for key_, spec in strategy.models(context).items():
                _once(found, key_, "aux model", path)
                found[key_] = Auxiliary(key_, spec, model, context.device)
    context.models = found
    return found


def build_streams(
    strategies: Mapping[str, Strategy], splits: Splits, plan: Plan, context: Context
) -> Streams:
    """All streams of a job.

    Raises:
        JobError: a stream has no data, or two have the same name.
    """
    feeds: dict[str, Feed] = {}
    for index, (name, strategy) in enumerate(strategies.items()):
        path = f"strategies.{index}"
        for key_, stream in strategy.streams().items():
            _once(feeds, key_, "stream", path)
            table, transforms = _samples(stream, key_, splits, f"{name}: stream {key_!r}", path)
            size = stream.batch_size or plan.batch_size
            try:
                updates = tuple(split_updates(len(table), size, context.cut_for))
                timetable = Timetable(updates, len(updates), 1, 1, context.cut_for)
                timetable.shared_by(context.world_size)
            except ValueError as error:
                raise JobError(Problem(path, f"{name}: stream {key_!r}: {error}")) from None
            feeds[key_] = make_feed(
                table,
                transforms,
                timetable,
                orders=Orders(
                    key(context.seed, "stream", key_) & (2**63 - 1), shuffle=stream.shuffle
                ),
                rank=context.rank,
                world_size=context.world_size,
                training=stream.training,
            )
    return Streams(feeds)


def _samples(
    stream: Stream, name: str, splits: Splits, who: str, path: str
) -> tuple[Rows, TransformChain]:
    if stream.source != "data":
        known = list(splits.others)
        if stream.source not in known:
            raise JobError(
                Problem(
                    path=path,
                    message=f"{who} reads a named source that the job does not have",
                    got=stream.source,
                    allowed=one_of(["data", *known]),
                    nearest=nearest(stream.source, known),
                    mend=f"add data.sources.{stream.source}: {{source: ...}}",
                )
            )
        return splits.others[stream.source]
    table = {"train": splits.train, "validation": splits.validation, "test": splits.test}[
        stream.split
    ]
    if table is None:
        raise JobError(
            Problem(
                path=f"data.{stream.split}",
                message=f"{who} needs the {stream.split} split",
                got=MISSING,
                mend=f"add data.{stream.split}, 0.2 say",
            )
        )
    return table, splits.transforms


def _once(found: Mapping[str, object], name: str, what: str, path: str) -> None:
    if name in found:
        raise JobError(Problem(path, f"another strategy has a {what} of this name", got=name))
