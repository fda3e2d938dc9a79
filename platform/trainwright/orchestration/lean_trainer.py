"""Ray Train's trainer without the helpers that a run of ours has no use for."""

from __future__ import annotations

from typing import Any

_UNUSED = ("DatasetsCallback", "PlacementGroupCleanerCallback")
"""The one keeps Ray Data's data sets. The other frees what workers had reserved when their
controller has died, which our driver does itself: in a cluster without a dashboard it cannot ask
whether the controller lives, and one process more is left behind by every restart."""


def lean_trainer(*arguments: Any, **options: Any) -> Any:
    """A ``TorchTrainer`` that starts two processes less for each group of workers."""
    from ray.train.torch import TorchTrainer

    class LeanTrainer(TorchTrainer):  # type: ignore[misc]
        def _create_default_callbacks(self) -> list[Any]:
            made = super()._create_default_callbacks()
            return [callback for callback in made if type(callback).__name__ not in _UNUSED]

    return LeanTrainer(*arguments, **options)
