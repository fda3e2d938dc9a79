"""What a checkpoint of a run holds, and how it is taken and put back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from trainwright.checkpoint import Checkpoint, CheckpointWriter, Piece
from trainwright.data.loading import Splits
from trainwright.data.outline import to_plain
from trainwright.engine.base import Engine
from trainwright.engine.module import public_name
from trainwright.errors import CheckpointError
from trainwright.job.models import TrainJob
from trainwright.secrets import public_values
from trainwright.strategy import Strategy
from trainwright.strategy.compose import using
from trainwright.training.auxiliary import Auxiliaries
from trainwright.training.progress import Progress
from trainwright.training.statistics import averaged_statistics, statistics_of
from trainwright.training.streams import Streams

BUFFER = "buffer"


class Stateful(Protocol):
    """A further part of a run that its checkpoints keep."""

    def state_dict(self) -> dict[str, Any]:
        """Plain values and tensors, equal on all workers."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back ``state_dict``."""
        ...


@dataclass
class Holdings:
    """Everything that changes in training and that a resumed run needs.

    Attributes:
        engine: weights and optimizer state.
        strategies: by short name.
        progress: of the loop.
        auxiliaries: further models, whose weights are kept beside the engine's.
        streams: whose places are kept.
        parts: what else is kept, by name (per-sample tables).
    """

    engine: Engine
    strategies: Mapping[str, Strategy]
    progress: Progress
    auxiliaries: Auxiliaries = field(default_factory=Auxiliaries)
    streams: Streams = field(default_factory=lambda: Streams({}))
    parts: Mapping[str, Stateful] = field(default_factory=dict)

    def state_dict(self) -> dict[str, Any]:
        """The plain values among it."""
        return {
            "progress": self.progress.state_dict(),
            "strategies": {name: s.state_dict() for name, s in self.strategies.items()},
            "engine": self.engine.extra_state(),
            "streams": self.streams.state_dict(),
            "parts": {name: part.state_dict() for name, part in self.parts.items()},
        }

    def statistics(self) -> dict[str, Tensor]:
        """The running statistics that differ between workers."""
        mine = statistics_of(self.engine.module)
        return {**mine, **statistics_of(self.auxiliaries.trainable_modules())}


@dataclass
class Saver:
    """Takes checkpoints of everything that a resumed run needs.

    Attributes:
        writer: this worker's writer.
        holdings: what is kept.
        job: the resolved job, kept for ``export`` and ``--resume``.
        extra: what never changes, see :func:`constants_of`.
        attempt: number of this attempt.
        lineage: ``[attempt, last step]`` of the attempts this one continues.
        cut_for: most workers that the run's updates are made for.
    """

    writer: CheckpointWriter
    holdings: Holdings
    job: TrainJob
    extra: Mapping[str, Any]
    attempt: int
    lineage: list[list[int]]
    cut_for: int = 1
    _last: tuple[int, int] = (-1, 0)

    def __call__(self, improved: bool) -> None:
        """Take a checkpoint of this moment; files are written while training goes on."""
        engine, progress = self.holdings.engine, self.holdings.progress
        settings, best, step = engine.settings, progress.best, progress.finished
        shared = averaged_statistics(engine.module, settings.device)
        info = {
            "step": step,
            "metrics": dict(progress.metrics),
            "lineage": [*self.lineage, [self.attempt, step]],
            "cut_for": self.cut_for,
            "score": best.value if improved else None,
            "higher_is_better": best.higher_is_better,
            "phase": progress.generation,
        }
        self._last = (step, self._last[1] + 1 if step == self._last[0] else 0)
        pieces = [*engine.pieces(), *_buffers(engine.module, shared, settings.rank)]
        if settings.rank == 0:
            pieces += self.holdings.auxiliaries.pieces()
        self.writer.save(
            step,
            self.attempt,
            pieces,
            self._state() if settings.rank == 0 else None,
            {"statistics": self.holdings.statistics()},
            info,
            self._last[1],
        )

    def withdraw(self) -> None:
        """Take note that the last checkpoint could not be written, and remove what is there of it.

        All workers must have ended writing.
        """
        self.holdings.progress.best.withdraw(self._last[0])
        if self.holdings.engine.settings.rank == 0:
            self.writer.discard()

    def _state(self) -> dict[str, Any]:
        return {
            **self.holdings.state_dict(),
            "job": public_values(self.job),
            "tied": _tied(self.holdings.engine.module),
            "exports": bool(using(list(self.holdings.strategies.values()), "export")),
            **self.extra,
        }


def constants_of(splits: Splits, plugin_files: Mapping[str, bytes]) -> dict[str, Any]:
    """What identifies the data and the code of a run, for its checkpoints."""
    return {
        "transforms": splits.transforms.state_dict(),
        "fingerprint": splits.fingerprint,
        "outline": to_plain(splits.train),
        "plugin_files": digests(plugin_files),
    }


def digests(files: Mapping[str, bytes]) -> dict[str, str]:
    """The SHA-256 of each file's content, by name."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def restore(checkpoint: Checkpoint, holdings: Holdings) -> None:
    """Put a checkpoint back into freshly built objects, at any stage and number of workers.

    Raises:
        CheckpointError: it does not fit; what differs is named.
    """
    state = checkpoint.state
    saved: Mapping[str, Any] = state["strategies"]
    if set(saved) != set(holdings.strategies):
        raise CheckpointError(
            f"the checkpoint was written with strategies {sorted(saved)}, "
            f"the job has {sorted(holdings.strategies)}"
        )
    holdings.engine.load(checkpoint)
    holdings.auxiliaries.load(checkpoint)
    _restore_buffers(checkpoint, holdings)
    holdings.engine.load_extra_state(state["engine"])
    for name, strategy in holdings.strategies.items():
        strategy.load_state_dict(saved[name])
    holdings.streams.load_state_dict(state.get("streams", {}))
    for name, part in holdings.parts.items():
        if name in state.get("parts", {}):
            part.load_state_dict(state["parts"][name])
    holdings.progress.load_state_dict(state["progress"])
    checkpoint.release()


def _tied(module: nn.Module) -> dict[str, str]:
    """Further names of parameters that stand in several places: name -> the name it is kept by."""
    kept = {id(p): public_name(name) for name, p in module.named_parameters()}
    every = module.named_parameters(remove_duplicate=False)
    named = [(public_name(name), kept[id(p)]) for name, p in every]
    return {name: first for name, first in named if name != first}


def _buffers(module: nn.Module, shared: Mapping[str, Tensor], rank: int) -> Iterator[Piece]:
    """Worker 0 writes the buffers; running statistics averaged over the workers."""
    if rank != 0:
        return
    persistent = set(module.state_dict(keep_vars=True))
    for name, buffer in module.named_buffers():
        if name in persistent:
            value = shared.get(name, buffer).detach()
            yield Piece(BUFFER, public_name(name), tuple(value.shape), 0, value.reshape(-1))


def _restore_buffers(checkpoint: Checkpoint, holdings: Holdings) -> None:
    """Each worker its own running statistics; the averaged ones when the number has changed."""
    settings = holdings.engine.settings
    same_world = checkpoint.world_size == settings.world_size
    own = (checkpoint.rank_state(settings.rank) or {}) if same_world else {}
    statistics: Mapping[str, Tensor] = own.get("statistics", {})
    saved = set(checkpoint.names(BUFFER)) if BUFFER in checkpoint.kinds() else set()
    with torch.no_grad():
        for name, buffer in holdings.engine.module.named_buffers():
            if name not in statistics and public_name(name) in saved:
                value = checkpoint.full(BUFFER, public_name(name))
                buffer.copy_(value.reshape(buffer.shape))
        for name, buffer in holdings.statistics().items():
            if name in statistics:
                buffer.copy_(statistics[name])
