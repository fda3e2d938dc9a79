"""A teacher for distillation: weights from a file, or learnt in a first phase of the run."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from trainwright.strategy import AuxModel, Batch, Context, Outputs, RunningModel, Step
from trainwright_objectives.options import check_whole

NAME = "teacher"


def check_teacher(weights: str | None, epochs: int, lr: float) -> None:
    """Refuse a teacher without knowledge, or with two sources of it.

    Raises:
        ValueError: what, got, allowed.
    """
    check_whole("teacher_epochs", epochs, 0)
    if not lr > 0:
        raise ValueError(f"teacher_lr must be above 0, got {lr!r}")
    if (weights is None) == (epochs == 0):
        raise ValueError(
            "a teacher needs either teacher_weights, a safetensors file, or teacher_epochs above "
            f"0 to learn in, got {weights!r} and {epochs!r}"
        )


class Teacher:
    """A strategy's aux model of the name ``teacher``.

    Args:
        make: the model, from what the data says.
        weights: path or URL of a safetensors file; None for a teacher that is trained.
        lr: Adam's rate, where it is.
    """

    def __init__(self, make: Callable[..., nn.Module], weights: str | None, lr: float) -> None:
        self._make = make
        self._weights = weights
        self._lr = lr

    def declared(self, context: Context) -> AuxModel:
        """What the strategy's ``models`` hook gives."""
        self._context = context
        module = self._make(**context.facts)
        if self._weights is not None:
            return AuxModel(module=module)
        optimizer = torch.optim.Adam(module.parameters(), lr=self._lr)
        return AuxModel(module=module, trainable=True, optimizer=optimizer)

    def begin(self) -> None:
        """Read the weights, if they lie in a file; teach in evaluation mode.

        Raises:
            ValueError: the file is no safetensors file, or its weights do not fit.
        """
        self._running.module.eval()
        if self._weights is None:
            return
        # Not above: listing plugins would import them.
        import fsspec
        from safetensors import SafetensorError
        from safetensors.torch import load

        with fsspec.open(self._weights, "rb") as file:
            content = file.read()
        try:
            self._running.model.load_state_dict(load(content))
        except (RuntimeError, SafetensorError) as error:
            raise ValueError(f"the weights of the teacher in {self._weights}: {error}") from error

    def learn(self, step: Step) -> None:
        """One update of the teacher along the training loss, instead of the model's."""
        self._running.module.train()
        step.set_gradient(step.gradient(of=NAME, statistics=True), of=NAME)
        step.update(NAME)
        self._running.module.eval()

    def outputs(self, batch: Batch) -> Outputs:
        """What it says, for its own training."""
        return self._running(batch)

    @torch.no_grad()
    def logits(self, batch: Batch) -> torch.Tensor:
        """What it says, for the student's."""
        return self._running(batch)["logits"]

    @property
    def _running(self) -> RunningModel:
        return self._context.models[NAME]
