"""What a checkpoint of a run holds, and how it is taken and put back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from trainwright.checkpoint import Checkpoint, CheckpointWriter, Piece
from trainwright.data.loading import Splits
from trainwright.engine.base import Engine
from trainwright.engine.module import public_name
from trainwright.errors import CheckpointError
from trainwright.job.models import TrainJob
from trainwright.secrets import public_values
from trainwright.strategy import Strategy
from trainwright.training.collectives import averaged_statistics, statistics_of
from trainwright.training.progress import Progress

BUFFER = "buffer"


@dataclass
class Saver:
    """Takes checkpoints of everything that a resumed run needs.

    Attributes:
        writer: this worker's writer.
        engine: weights and optimizer state.
        strategies: whose state is kept, by short name.
        progress: of the loop.
        job: the resolved job, kept for ``export`` and ``--resume``.
        extra: what never changes, see :func:`constants_of`.
        attempt: number of this attempt.
        lineage: ``[attempt, last step]`` of the attempts this one continues.
    """

    writer: CheckpointWriter
    engine: Engine
    strategies: Mapping[str, Strategy]
    progress: Progress
    job: TrainJob
    extra: Mapping[str, Any]
    attempt: int
    lineage: list[list[int]]
    _last: tuple[int, int] = (-1, 0)

    def __call__(self, improved: bool) -> None:
        """Take a checkpoint of this moment; files are written while training goes on."""
        settings = self.engine.settings
        step = self.progress.finished
        shared = averaged_statistics(self.engine.module, settings.device)
        best = self.progress.best
        info = {
            "step": step,
            "metrics": dict(self.progress.metrics),
            "lineage": [*self.lineage, [self.attempt, step]],
            "score": best.value if improved else None,
            "higher_is_better": best.higher_is_better,
            "phase": self.progress.generation,
        }
        self._last = (step, self._last[1] + 1 if step == self._last[0] else 0)
        self.writer.save(
            step,
            self.attempt,
            [*self.engine.pieces(), *(_buffers(self.engine.module, shared, settings.rank))],
            self._state() if settings.rank == 0 else None,
            {"statistics": statistics_of(self.engine.module)},
            info,
            self._last[1],
        )

    def _state(self) -> dict[str, Any]:
        return {
            "progress": self.progress.state_dict(),
            "strategies": {name: s.state_dict() for name, s in self.strategies.items()},
            "engine": self.engine.extra_state(),
            "job": public_values(self.job),
            "tied": _tied(self.engine.module),
            **self.extra,
        }


def constants_of(splits: Splits, plugin_files: Mapping[str, bytes]) -> dict[str, Any]:
    """What identifies the data and the code of a run, for its checkpoints."""
    return {
        "transforms": splits.transforms.state_dict(),
        "fingerprint": splits.fingerprint,
        "plugin_files": digests(plugin_files),
    }


def digests(files: Mapping[str, bytes]) -> dict[str, str]:
    """The SHA-256 of each file's content, by name."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def restore(
    checkpoint: Checkpoint,
    engine: Engine,
    strategies: Mapping[str, Strategy],
    progress: Progress,
) -> None:
    """Put a checkpoint back into freshly built objects, at any stage and number of workers.

    Raises:
        CheckpointError: it does not fit; what differs is named.
    """
    engine.load(checkpoint)
    _restore_buffers(checkpoint, engine)
    state = checkpoint.state
    engine.load_extra_state(state["engine"])
    saved: Mapping[str, Any] = state["strategies"]
    if set(saved) != set(strategies):
        raise CheckpointError(
            f"the checkpoint was written with strategies {sorted(saved)}, "
            f"the job has {sorted(strategies)}"
        )
    for name, strategy in strategies.items():
        strategy.load_state_dict(saved[name])
    progress.load_state_dict(state["progress"])


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


def _restore_buffers(checkpoint: Checkpoint, engine: Engine) -> None:
    """Each worker its own running statistics; the averaged ones when the number has changed."""
    settings = engine.settings
    same_world = checkpoint.world_size == settings.world_size
    own = (checkpoint.rank_state(settings.rank) or {}) if same_world else {}
    statistics: Mapping[str, Tensor] = own.get("statistics", {})
    saved = set(checkpoint.names(BUFFER)) if BUFFER in checkpoint.kinds() else set()
    with torch.no_grad():
        for name, buffer in engine.module.named_buffers():
            if name in statistics:
                buffer.copy_(statistics[name])
            elif public_name(name) in saved:
                value = checkpoint.full(BUFFER, public_name(name))
                buffer.copy_(value.reshape(buffer.shape))
