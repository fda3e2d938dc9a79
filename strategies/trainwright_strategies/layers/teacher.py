"""A teacher for distillation: weights of an earlier run, or learnt first, or told by a column."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from trainwright.strategy import AuxModel, Batch, Context, Outputs, RunningModel, Step
from trainwright_objectives.options import check_whole
from trainwright_strategies.outputs import column_of

NAME = "teacher"


def check_teacher(
    model: object, weights: str | None, epochs: int, lr: float, column: str | None
) -> None:
    """Refuse a teacher without knowledge, or with two sources of it.

    Raises:
        ValueError: what, got, allowed.
    """
    check_whole("teacher_epochs", epochs, 0)
    if not lr > 0:
        raise ValueError(f"teacher_lr must be above 0, got {lr!r}")
    if (weights is not None) + (epochs > 0) + (column is not None) != 1:
        raise ValueError(
            "what is known of a teacher is one of teacher_weights (safetensors), teacher_epochs "
            "above 0 to learn in, and teacher_logits, a column; got "
            f"{weights!r}, {epochs!r} and {column!r}"
        )
    if (model is None) == (column is None):
        needed = "needs a model" if model is None else "that a column tells of has no model"
        raise ValueError(f"a teacher {needed}: see the option teacher")


class Teacher:
    """A strategy's aux model of the name ``teacher``.

    Args:
        make: the model, from what the data says; None where a column has its logits.
        weights: path or URL of a safetensors file or of a folder of such; None for a teacher that
            is trained.
        lr: Adam's rate, where it is.
        column: of the data that holds its logits, or None.
    """

    def __init__(
        self,
        make: Callable[..., nn.Module] | None,
        weights: str | None,
        lr: float,
        column: str | None = None,
    ) -> None:
        self._make = make
        self._weights = weights
        self._lr = lr
        self._column = column

    def declared(self, context: Context) -> dict[str, AuxModel]:
        """What the strategy's ``models`` hook gives."""
        self._context = context
        if self._make is None:
            return {}
        module = self._make(**context.facts)
        if self._weights is not None:
            return {NAME: AuxModel(module=module)}
        optimizer = torch.optim.Adam(module.parameters(), lr=self._lr)
        return {NAME: AuxModel(module=module, trainable=True, optimizer=optimizer)}

    def begin(self) -> None:
        """Read the weights, if they are stored; teach in evaluation mode.

        Raises:
            ValueError: there are no safetensors files, or their weights do not fit.
        """
        if self._make is None:
            return
        self._running.module.eval()
        if self._weights is None:
            return
        try:
            self._running.model.load_state_dict(_read(self._weights))
        except (OSError, RuntimeError, ValueError) as error:
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
        if self._column is not None:
            return column_of(batch, self._column)
        return self._running(batch)["logits"]

    @property
    def _running(self) -> RunningModel:
        return self._context.models[NAME]


def _read(place: str) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file, or of all such files in a folder.

    Raises:
        ValueError: there are none.
    """
    # Not above: listing plugins would import them.
    import fsspec
    from safetensors import SafetensorError
    from safetensors.torch import load

    fs, path = fsspec.core.url_to_fs(place)
    files = fs.glob(f"{path.rstrip('/')}/*.safetensors") if fs.isdir(path) else [path]
    if not files:
        raise ValueError("the folder has no safetensors files")
    try:
        return {n: tensor for file in files for n, tensor in load(fs.cat_file(file)).items()}
    except SafetensorError as error:
        raise ValueError(str(error)) from error
