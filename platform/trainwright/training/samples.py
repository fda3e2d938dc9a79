"""The job's samples for strategies that look at them outside of training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

from torch import Tensor, nn

from trainwright.data.loading import Splits
from trainwright.engine.module import NamedModel
from trainwright.errors import RunError
from trainwright.strategy import Batch, Outputs


class JobSamples:
    """See :class:`trainwright.strategy.Samples`.

    Args:
        load: gives the job's data.
        model: the job's model, with its bindings.
    """

    def __init__(self, load: Callable[[], Splits], model: NamedModel) -> None:
        self._load = load
        self._model = model

    @cached_property
    def _splits(self) -> Splits:
        return self._load()

    def batches(self, split: str = "train", batch_size: int = 256) -> Iterator[dict[str, Tensor]]:
        """All samples of a split in their order, ``batch_size`` at a time."""
        table = getattr(self._splits, split, None)
        if table is None:
            raise RunError(f"the job has no {split} split")
        for rows in table.chunks(batch_size):
            yield self._splits.transforms(table.take(rows), 0, training=False)

    def forward(self, model: nn.Module, batch: Batch) -> Outputs:
        """The named outputs of ``model``."""
        named = NamedModel(model, self._model.binding.bind, self._model.output_names)
        outputs: Outputs = named(batch)
        return outputs
