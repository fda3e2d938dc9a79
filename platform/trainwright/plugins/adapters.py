"""Library classes as plugins: their constructors reduced to what a job can sensibly say.

A torch loss loses its long deprecated arguments, an optimizer its weights and its implementation
switches, a torchmetrics class its synchronisation arguments. What is left is an ordinary typed
signature, so that checking options and showing them is the same for every plugin.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import Field

from trainwright.errors import PluginError, Problem
from trainwright.plugins.describe import is_tensor, union_members
from trainwright.plugins.groups import Factory
from trainwright.plugins.signature import EMPTY, parameters_of, takes_more


@dataclass(frozen=True, eq=False)
class Adapted:
    """A class with a reduced signature; calling it makes the object.

    Attributes:
        target: the class itself.
        options: the parameters that are options.
        renamed: option -> the constructor's own name for it, where they differ.
        fixed: arguments that are always given.
        open: whether further keyword arguments are accepted.
    """

    target: Any
    options: tuple[inspect.Parameter, ...]
    renamed: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    open: bool = False

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Make the object; options that are left out take the defaults shown."""
        values = {item.name: item.default for item in self.options if item.default is not EMPTY}
        values |= options
        named = {self.renamed.get(name, name): value for name, value in values.items()}
        return self.target(*args, **self.fixed, **named)

    @property
    def __signature__(self) -> inspect.Signature:
        more = [inspect.Parameter("more", inspect.Parameter.VAR_KEYWORD)] if self.open else []
        return inspect.Signature([*self.options, *more])


def target_of(factory: Factory) -> Any:
    """The class or function behind a plugin's factory."""
    return factory.target if isinstance(factory, Adapted) else factory


def adapt(group: str, found: Any) -> Factory:
    """The factory of a plugin that was found as the object ``found``.

    Raises:
        PluginError: the object cannot serve in this group; the message says why.
    """
    if group == "optimizers":
        return _optimizer(found)
    if group == "objectives" and getattr(found, "__module__", "") == "torch.nn.modules.loss":
        return _loss(found)
    if group == "metrics" and getattr(found, "__module__", "").startswith("torchmetrics."):
        return _metric(found)
    factory: Factory = found
    return factory


_LOSS_ARGUMENTS_LEFT_OUT = ("size_average", "reduce", "device", "dtype", "options")
_LOSS_TYPES: dict[str, Any] = {
    "reduction": Literal["mean", "sum", "none"],
    "label_smoothing": Annotated[float, Field(ge=0, le=1)],
    "beta": Annotated[float, Field(ge=0)],
    "delta": Annotated[float, Field(gt=0)],
    "eps": Annotated[float, Field(ge=0)],
}
_WEIGHTED_PER_ELEMENT = ("BCELoss", "BCEWithLogitsLoss")


def _loss(found: Any) -> Adapted:
    """A torch loss. Its ``weight`` is called ``class_weights``: in a job ``weight`` is a factor."""
    renamed: dict[str, str] = {}
    options = []
    for item in _own_parameters(found):
        if item.name in _LOSS_ARGUMENTS_LEFT_OUT:
            continue
        if item.name == "weight":
            if found.__name__ in _WEIGHTED_PER_ELEMENT:
                continue  # one weight per element of the batch: not a constant a job could give
            item, renamed = item.replace(name="class_weights"), {"class_weights": "weight"}
        options.append(item.replace(annotation=_LOSS_TYPES.get(item.name, item.annotation)))
    return Adapted(found, _keyword_only(options), renamed)


CANNOT_STEP: dict[str, str] = {
    "LBFGS": "it evaluates the loss several times within one update, by a closure",
    "SparseAdam": "it takes sparse gradients only, and training produces dense ones",
}
"""torch.optim class -> why the training loop cannot step it."""

_SWITCHES = ("foreach", "capturable", "differentiable", "fused", "maximize")
_LIMITS: dict[str, Any] = {
    "lr": Annotated[float, Field(ge=0)],
    "eps": Annotated[float, Field(ge=0)],
    "weight_decay": Annotated[float, Field(ge=0)],
    "momentum": Annotated[float, Field(ge=0)],
    "betas": tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]],
}


def _optimizer(found: Any) -> Adapted:
    """An optimizer. Its first parameter, the weights, comes from the platform."""
    reason = _why_not_steppable(found)
    if reason:
        raise PluginError(
            Problem(
                path="",
                message=f"{found.__name__} cannot be used for training: {reason}",
                mend="take a first-order optimizer, for example adamw or sgd",
            )
        )
    from_torch = getattr(found, "__module__", "").startswith("torch.optim.")
    options = []
    for item in _own_parameters(found)[1:]:
        if from_torch and item.name in _SWITCHES:
            continue
        plain = _without_tensor(item.annotation)
        known = from_torch and (plain is float or item.name == "betas")
        options.append(item.replace(annotation=_LIMITS.get(item.name, plain) if known else plain))
    return Adapted(found, _keyword_only(options), open=takes_more(found))


def _why_not_steppable(found: Any) -> str | None:
    for base in getattr(found, "__mro__", ()):
        if base.__module__.startswith("torch.optim.") and base.__name__ in CANNOT_STEP:
            return CANNOT_STEP[base.__name__]
    step = getattr(found, "step", None)
    closure = inspect.signature(step).parameters.get("closure") if callable(step) else None
    if closure is not None and closure.default is EMPTY:
        return "its step needs a closure that evaluates the loss again"
    return None


_METRIC_SWITCHES = ("validate_args",)
_TASKS = re.compile("^(Binary|Multiclass|Multilabel)")
NOT_NUMBERS: dict[str, str] = {
    "ConfusionMatrix": "a matrix",
    "Fairness": "a table over groups",
    "GroupStatRates": "a table over groups",
    "PrecisionRecallCurve": "a curve",
    "ROC": "a curve",
    "RetrievalPrecisionRecallCurve": "a curve",
    "StatScores": "a table of counts",
}
"""torchmetrics class, without its task -> what it computes instead of a number."""


def is_one_task(class_name: str) -> bool:
    """Whether a torchmetrics class is the form of another for one kind of target."""
    return bool(_TASKS.match(class_name))


def not_a_number(class_name: str) -> str | None:
    """What a torchmetrics class computes if that is not a number to record."""
    return NOT_NUMBERS.get(_TASKS.sub("", class_name))


def one_task_form(found: Any) -> Any:
    """The multiclass form of a torchmetrics class that only chooses a form by its task.

    Such a class describes nothing itself; any other class is its own form.
    """
    module = importlib.import_module("torchmetrics.classification")
    return getattr(module, f"Multiclass{found.__name__}", found)


def _metric(found: Any) -> Adapted:
    """A torchmetrics class; how its states are shared over workers is not the job's business."""
    other = not_a_number(found.__name__)
    if other:
        message = f"{found.__name__} cannot be recorded: its result is {other}, not a number"
        raise PluginError(Problem(path="", message=message))
    own = [item for item in _own_parameters(found) if item.name not in _METRIC_SWITCHES]
    return Adapted(found, _keyword_only(own))


def with_defaults(factory: Adapted, **defaults: Any) -> Adapted:
    """The same plugin with other default values of some options."""
    options = tuple(
        item.replace(default=defaults[item.name]) if item.name in defaults else item
        for item in factory.options
    )
    return replace(factory, options=options)


def with_fixed(factory: Adapted, **fixed: Any) -> Adapted:
    """The same plugin with some arguments decided; they are options no longer."""
    options = tuple(item for item in factory.options if item.name not in fixed)
    return replace(factory, options=options, fixed={**factory.fixed, **fixed})


def with_renamed(factory: Adapted, old: str, new: inspect.Parameter) -> Adapted:
    """The same plugin with the option ``old`` replaced by ``new``."""
    options = tuple(new if item.name == old else item for item in factory.options)
    return replace(factory, options=options, renamed={**factory.renamed, new.name: old})


def _own_parameters(found: Any) -> list[inspect.Parameter]:
    return [
        inspect.Parameter(
            item.name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=item.default,
            annotation=item.annotation,
        )
        for item in parameters_of(found)
    ]


def _keyword_only(options: list[inspect.Parameter]) -> tuple[inspect.Parameter, ...]:
    return tuple(item.replace(kind=inspect.Parameter.KEYWORD_ONLY) for item in options)


def _without_tensor(annotation: Any) -> Any:
    """The type without the tensors that torch allows where a number would do."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    members = union_members(annotation)
    if len(members) > 1:
        kept = tuple(_without_tensor(part) for part in members if not is_tensor(part))
        return Union[kept]  # noqa: UP007
    if origin is tuple:
        return tuple[tuple(_without_tensor(part) for part in arguments)]  # type: ignore[misc]
    return annotation
