"""What a strategy may know and use of the run it is part of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch

from trainwright.data.random import key

if TYPE_CHECKING:
    from trainwright.strategy.base import Batch, Outputs
    from trainwright.strategy.samples import Samples


@dataclass
class Context:
    """Facts of the run, random numbers that survive a resume, and the way to log.

    Attributes:
        seed: the job's seed.
        rank: this worker, from 0.
        world_size: number of workers.
        device: where the model lives.
        facts: what the data says: ``num_classes``, ``in_features``, ``image_size``...
        batch_size: samples per update over all workers.
        steps_per_epoch: updates in one epoch.
        total_steps: updates in the whole training.
        update: number of finished updates; kept by the loop.
        epoch: the current epoch, from 0; kept by the loop.
        models: the aux models that strategies declared, by name; each is called with a batch.
        data: the job's samples; in the ``export`` hook alone.
    """

    seed: int
    rank: int = 0
    world_size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    facts: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int = 0
    steps_per_epoch: int = 0
    total_steps: int = 0
    update: int = 0
    epoch: int = 0
    models: Mapping[str, Callable[[Batch], Outputs]] = field(default_factory=dict, repr=False)
    data: Samples | None = None
    _pending: dict[str, float | torch.Tensor] = field(default_factory=dict, repr=False)

    def rng(self, name: str, scope: Literal["world", "rank"] = "world") -> torch.Generator:
        """A CPU generator that depends on (seed, name, update) and, with ``rank``, the worker.

        The same update always draws the same numbers, whatever was drawn before, so that a
        resumed run continues as if nothing had happened. For numbers tied to single samples
        use :func:`trainwright.data.random.uniform` with their ``sample_id``.
        """
        parts: list[int | str] = [self.seed, name, self.update]
        if scope == "rank":
            parts.append(self.rank)
        return torch.Generator().manual_seed(key(*parts) & (2**63 - 1))

    def log(self, values: Mapping[str, float | torch.Tensor]) -> None:
        """Record scalars for the current update; a tensor is read later, without waiting for it.

        Values are averaged over the workers. A name without ``/`` is filed under ``strategy/``.
        """
        for name, value in values.items():
            full = name if "/" in name else f"strategy/{name}"
            self._pending[full] = value.detach() if isinstance(value, torch.Tensor) else value

    def take_logged(self) -> dict[str, float | torch.Tensor]:
        """Hand over what was logged since the last call (called by the loop)."""
        pending, self._pending = self._pending, {}
        return pending
