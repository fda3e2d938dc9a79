"""Options of plugins, checked against the typed signature of the constructor."""

from __future__ import annotations

import enum
import inspect
import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import ConfigDict, PlainValidator, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core import ErrorDetails

from trainwright.errors import MISSING, InputError, PluginError, Problem
from trainwright.plugins.causes import import_cause
from trainwright.plugins.describe import describe, is_tensor, union_members
from trainwright.plugins.groups import Plugin
from trainwright.plugins.markers import written_form
from trainwright.plugins.signature import Parameter, Signature
from trainwright.suggest import nearest, one_of


def check_options(
    plugin: Plugin,
    options: Mapping[str, Any],
    path: str,
    derived: Mapping[str, Any] | None = None,
) -> tuple[dict[str, Any], list[Problem]]:
    """Check ``options`` against the plugin's signature and bring them to its types.

    Whole numbers stand for numbers, lists for tuples, sets and tensors. A truth value is no
    number and a text is no number. A parameter without annotation takes anything.

    Args:
        plugin: what the options are for.
        options: as written in the job.
        path: dotted path of the plugin in the job, for messages.
        derived: values from the data (``num_classes``...) for parameters of that name that
            ``options`` leaves out; further names are ignored.

    Returns:
        The keyword arguments for the constructor, and every problem found.
    """
    signature = Signature.of(plugin)
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, value in _with_derived(signature, options, derived or {}):
        place = _join(path, name)
        parameter = signature.parameters.get(name)
        if parameter is not None:
            values[name], wrong = _checked(written_form(parameter.annotation), value, place)
            problems += wrong
        elif signature.open:
            values[name] = value
        else:
            problems.append(_unknown(plugin, signature, name, place))
    problems += [
        _missing(plugin, parameter, _join(path, parameter.name))
        for parameter in signature.parameters.values()
        if parameter.required and parameter.name not in values
    ]
    return values, problems


def construct(plugin: Plugin, options: Mapping[str, Any], path: str = "") -> Any:
    """Make the plugin's object from checked options.

    Raises:
        PluginError: the constructor refuses the options, or fails (for want of memory, say).
    """
    try:
        return plugin.factory(**options)
    except InputError:
        raise
    except (ValueError, TypeError) as error:
        raise PluginError(
            Problem(
                path=path,
                message=f"{plugin.name} refuses its options: {error}",
                got=dict(options),
                mend=f"see `trainwright show {plugin.name}`",
            )
        ) from error
    except Exception as error:  # the constructor is the user's code and may raise anything
        message = f"{plugin.name} fails with its options: {import_cause(error)}"
        raise PluginError(Problem(path, message, got=dict(options))) from error


def _with_derived(
    signature: Signature, options: Mapping[str, Any], derived: Mapping[str, Any]
) -> Iterator[tuple[str, Any]]:
    yield from options.items()
    for name in signature.parameters:
        if name in derived and name not in options:
            yield name, derived[name]


def _checked(annotation: Any, value: Any, path: str) -> tuple[Any, list[Problem]]:
    adapter = _adapter(annotation)
    if adapter is None:
        return value, []
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):  # given from Python: a tensor, a function, an object
        text = None
    try:
        if text is None:
            return adapter.validate_python(value), []
        return adapter.validate_json(text, strict=True), []
    except ValidationError as error:
        return value, _problems(annotation, error, value, path)


def _adapter(annotation: Any) -> TypeAdapter[Any] | None:
    """The checker of a type; None where anything is accepted."""
    try:
        return _made_adapter(annotation)
    except TypeError:  # not hashable
        return _made_adapter.__wrapped__(annotation)


@lru_cache(maxsize=512)  # making one takes milliseconds, and the trials of a sweep need many
def _made_adapter(annotation: Any) -> TypeAdapter[Any] | None:
    if annotation is Any:
        return None
    kind = _with_tensors(annotation)
    try:
        return TypeAdapter(kind, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticUserError as error:
        if error.code == "type-adapter-config-unused":  # a model that brings its own settings
            return TypeAdapter(kind)
        return None  # a type that pydantic cannot check, such as one not resolvable at run time


def _with_tensors(annotation: Any) -> Any:
    """The type with every ``torch.Tensor`` in it replaced by one that also takes numbers."""
    if is_tensor(annotation):
        return Annotated[Any, PlainValidator(_to_tensor)]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if not arguments or origin is Literal or not any(map(_mentions_tensor, arguments)):
        return annotation
    replaced = tuple(_with_tensors(part) for part in arguments)
    if origin is Annotated:
        return Annotated[(replaced[0], *annotation.__metadata__)]
    if origin in (list, tuple, dict, set):
        return origin[replaced]
    return Union[replaced]  # noqa: UP007


def _mentions_tensor(annotation: Any) -> bool:
    return is_tensor(annotation) or any(map(_mentions_tensor, get_args(annotation)))


def _to_tensor(value: Any) -> Any:
    import torch

    if isinstance(value, torch.Tensor):
        return value
    if not _is_numbers(value):
        raise ValueError("not a list of numbers")
    return torch.tensor(value, dtype=torch.get_default_dtype())


def _is_numbers(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_numbers, value))
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _problems(annotation: Any, error: ValidationError, value: Any, path: str) -> list[Problem]:
    within = [
        problem
        for index, (kind, part) in enumerate(_entries(annotation, value))
        for problem in _checked(kind, part, f"{path}.{index}")[1]
    ]
    if within:
        return within
    members = [part for part in union_members(annotation) if part is not type(None)]
    if len(members) > 1:
        return [_wrong(annotation, value, path, "fits none of the forms that are allowed here")]
    return [_problem(annotation, detail, value, path) for detail in error.errors()]


def _entries(annotation: Any, value: Any) -> list[tuple[Any, Any]]:
    """Each entry of a list with the type it must have; empty for what is no list."""
    members = [part for part in union_members(annotation) if part is not type(None)]
    if len(members) == 1:
        annotation = members[0]
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    kinds = get_args(annotation)
    if not isinstance(value, (list, tuple)) or get_origin(annotation) not in (list, tuple, set):
        return []
    if get_origin(annotation) is tuple and kinds[-1] is not ...:
        return list(zip(kinds, value, strict=False))
    return [(kinds[0], part) for part in value]


def _problem(annotation: Any, detail: ErrorDetails, value: Any, path: str) -> Problem:
    place = detail["loc"]
    if detail["type"] == "missing" and isinstance(place[-1], int):
        return _wrong(annotation, value, path, "has too few entries")
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    message = message[:1].lower() + message[1:].replace("valid array", "valid list")
    if detail["type"] == "too_long":
        message = "has too many entries"
    return _wrong(annotation, detail["input"], ".".join([path, *map(str, place)]), message)


def _wrong(annotation: Any, got: Any, path: str, message: str) -> Problem:
    return Problem(
        path=path,
        message=message,
        got=got,
        allowed=describe(annotation),
        nearest=nearest(got, _spellings(annotation)),
        mend=_mend(annotation, got),
    )


def _spellings(annotation: Any) -> list[str]:
    """Every text that the type lists as allowed."""
    if get_origin(annotation) is Literal:
        return [value for value in get_args(annotation) if isinstance(value, str)]
    if inspect.isclass(annotation) and issubclass(annotation, enum.Enum):
        return [item.value for item in annotation if isinstance(item.value, str)]
    return [word for part in get_args(annotation) for word in _spellings(part)]


def _mend(annotation: Any, got: Any) -> str | None:
    """How a number is written that stands there as a text (``1e-3`` is one) or as 3.0 for 3."""
    kind = describe(annotation)
    if isinstance(got, float) and got.is_integer() and kind.startswith("whole number"):
        return f"write {got:.0f}"
    if not isinstance(got, str) or "number" not in kind:
        return None
    if kind.startswith("whole number"):
        return f"write {got.strip()} without quotes" if re.fullmatch(r"\s*-?\d+\s*", got) else None
    try:
        number = float(got)
    except ValueError:
        return None
    return f"write the number {number!r} without quotes and, before an exponent, with a point"


def _unknown(plugin: Plugin, signature: Signature, name: str, path: str) -> Problem:
    names = list(signature.parameters)
    return Problem(
        path=path,
        message=f"{plugin.name} has no option {name!r}",
        allowed=one_of(names) if names else "no options",
        nearest=nearest(name, names),
    )


def _missing(plugin: Plugin, parameter: Parameter, path: str) -> Problem:
    return Problem(
        path=path,
        message=f"{plugin.name} needs the option {parameter.name!r}",
        got=MISSING,
        allowed=describe(parameter.annotation),
    )


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
