"""The one module an engine owns: the model with bound inputs, and the objective beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from torch import Tensor, nn

from trainwright.objective import NameBinding, arguments_of

Result = TypeVar("Result")


class NamedModel(nn.Module):
    """A model whose inputs are found by name among batch columns and whose outputs have names.

    Args:
        model: any module; may return a tensor, a tuple, a mapping or an object with tensor fields.
        bind: argument of ``forward`` -> batch column, where the names differ.
        outputs: names for the tensor or the tuple's entries; default ``logits`` for a tensor.
    """

    def __init__(
        self,
        model: nn.Module,
        bind: Mapping[str, str] | None = None,
        outputs: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.output_names = list(outputs) if outputs else None
        self.binding = NameBinding(arguments_of(model.forward), bind or {})

    @property
    def input_columns(self) -> set[str]:
        """The batch columns the model reads (those that floating-point casts concern)."""
        return {self.binding.bind.get(a.name, a.name) for a in self.binding.arguments}

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The model's named outputs for one batch."""
        return name_outputs(self.model(**self.binding.collect({}, batch)), self.output_names)


def name_outputs(result: Any, names: Sequence[str] | None) -> dict[str, Tensor]:
    """A model's return value as named tensors.

    Raises:
        TypeError: a tuple without names, a wrong number of names, or something without tensors.
    """
    if isinstance(result, Tensor):
        return {(names[0] if names else "logits"): result}
    if isinstance(result, (dict, Mapping)):  # dict first: to ask an abstract class takes longer
        return {str(key): value for key, value in result.items() if isinstance(value, Tensor)}
    if isinstance(result, (tuple, list)):
        if names is None or len(names) != len(result):
            given = "no names" if names is None else f"{len(names)} names"
            raise TypeError(
                f"the model returns {len(result)} values and the job gives {given}: "
                "list one name for each in model.outputs"
            )
        return dict(zip(names, result, strict=True))
    fields = {k: v for k, v in vars(result).items() if isinstance(v, Tensor)}
    if not fields:
        raise TypeError(f"the model returns {type(result).__name__}, which holds no tensors")
    return fields


class TrainModule(nn.Module):
    """Model and objective together, so that one engine owns the parameters of both."""

    def __init__(self, model: NamedModel, objective: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        self._replacement: list[nn.Module] = []  # in a list, so that it is no part of this module

    @property
    def objective_in_use(self) -> nn.Module:
        """The objective of the present phase of training."""
        return self._replacement[0] if self._replacement else self.objective

    def replace_objective(self, objective: nn.Module | None) -> None:
        """Use another objective, one without parameters, for a while; None ends that.

        Raises:
            ValueError: it has parameters, which no optimizer would move.
        """
        if objective is not None and next(objective.parameters(), None) is not None:
            raise ValueError("the objective of a phase cannot have parameters")
        self._replacement = [] if objective is None else [objective]

    @property
    def objective_is_plain(self) -> bool:
        """Whether the objective has no parameters, so that there is nothing in it to shard."""
        return next(self.objective_in_use.parameters(), None) is None

    def forward(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Run ``function(*arguments)`` as this module's forward pass.

        Whatever the function does with ``self.model`` and ``self.objective`` happens inside the
        hooks by which DeepSpeed gathers and releases sharded parameters.
        """
        return function(*arguments)


def parameter_names(module: TrainModule) -> list[tuple[str, nn.Parameter]]:
    """Trainable and frozen parameters with the names users know.

    Wrapper prefixes are taken off: a model's weight is ``model.fc.weight``, an objective's
    parameter ``objective.<term>.<name>``.
    """
    return [(public_name(name), parameter) for name, parameter in module.named_parameters()]


def public_name(name: str) -> str:
    """``model.model.fc.weight`` -> ``model.fc.weight``; other names stay."""
    return name.replace("model.model.", "model.", 1) if name.startswith("model.model.") else name
