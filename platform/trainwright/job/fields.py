"""What the job's models say about a place in a job: its keys, its type, where else a key lives."""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from trainwright.job.compile_spec import CompileSpec
from trainwright.job.forms import Form
from trainwright.job.merging import EXTENDS
from trainwright.job.models import HeldOut, Monitor, PluginSpec, Section, TrainJob
from trainwright.job.plugin_spec import JobSection
from trainwright.job.streaming_spec import StreamingSpec
from trainwright.plugins.describe import describe
from trainwright.plugins.markers import marker_of
from trainwright.suggest import nearest, one_of

_UNIONS = (Union, types.UnionType)

ELSEWHERE: dict[str, str] = {
    "lr": "optimizer.lr",
    "learning_rate": "optimizer.lr",
    "weight_decay": "optimizer.weight_decay",
    "momentum": "optimizer.momentum",
    "betas": "optimizer.betas",
    "warmup": "schedule.warmup",
    "loss": "objective",
    "losses": "objective",
    "objectives": "objective",
    "callbacks": "strategies",
    "scheduler": "schedule",
    "dataset": "data.source",
    "num_epochs": "training.epochs",
    "max_epochs": "training.epochs",
    "max_steps": "training.steps",
    "num_workers": "cluster.workers",
    "gpus": "cluster.gpus_per_worker",
    "gradient_clipping": "training.max_grad_norm",
    "mlflow": "tracking",
}
"""Words that users bring from other programs, and options of plugins -> their place in a job."""

_FORMS: dict[str, str] = {
    "version": "1, the only form that this release reads",
    "name": "letters, digits, '.', '_' and '-', a letter or digit first, at most 63 in all",
    "cluster.address": "local, auto, or host:port",
    "data.source": "the name of a dataset, or a path or URL of parquet, arrow or csv files",
    "storage": "a folder or a URL",
    "base": "a job of kind train, or the path of its file",
    "seeds": "how many, as a whole number from 1 to 10000, or a list of whole numbers >= 0",
    "variants": "two or more sections, each with what it changes in the base",
    "data.validation": "a number > 0 and < 1, or a section",
    "data.test": "a number > 0 and < 1, or a section",
}
"""Path -> what is allowed there, where the type does not say it well."""

_FORMS_OF_TRAINING: dict[str, str] = {
    "cluster.workers": "a whole number >= 0, or the fewest and the most such as [1, 4], both > 0",
}
"""The same for a key that jobs of other kinds have, too, with other values."""


def keys_of(model: type[BaseModel]) -> list[str]:
    """The keys of a section as they are written in a job."""
    keys = [field.alias or name for name, field in model.model_fields.items()]
    return [*keys, EXTENDS] if issubclass(model, JobSection) else keys


def section_at(
    loc: Sequence[str | int], root: type[BaseModel] = TrainJob, form: object = None
) -> type[BaseModel]:
    """The model of the section at a place; the innermost one around it if it is no section.

    Args:
        loc: the place.
        root: the model of the whole.
        form: the name in the section, which says which of several forms it has.
    """
    for stop in range(len(loc), 0, -1):
        found = [member for member in _members(type_at(loc[:stop], root)) if _is_model(member)]
        if found:
            named = (m for m in found if form is not None and form in names_of(m))
            return next(named, found[0])  # type: ignore[no-any-return]
    return root


def names_of(annotation: Any) -> list[str]:
    """The names by which sections of this type say which of several forms they have."""
    fields = [m.model_fields.get("name") for m in _members(annotation) if _is_model(m)]
    return [name for field in fields if field for name in spellings(field.annotation)]


def type_at(loc: Sequence[str | int], root: type[BaseModel] = TrainJob) -> Any:
    """The type of the value at a place, with its limits; ``Any`` where the models say nothing."""
    current: Any = root
    for key in loc:
        current = next(_inner(current, key), Any)
    return current


def allowed_at(loc: Sequence[str | int], root: type[BaseModel] = TrainJob) -> str:
    """What may stand at a place, in words."""
    path = ".".join(str(key) for key in loc)
    if issubclass(root, JobSection) and path in _FORMS:
        return _FORMS[path]
    if root is TrainJob and path in _FORMS_OF_TRAINING:
        return _FORMS_OF_TRAINING[path]
    return words(type_at(loc, root))


def words(annotation: Any) -> str:
    """A type in words; the models of a job included."""
    members = _members(annotation)
    if len(members) > 1:
        return " or ".join(dict.fromkeys(words(part) for part in members))
    (only,) = members
    form = marker_of(only, Form)
    if form is not None:
        return str(form.words)
    if _is_model(only):
        return _model_words(only)
    if get_origin(only) is list:
        return f"a list, each entry {words(get_args(only)[0])}"
    return describe(only)


def spellings(annotation: Any) -> list[str]:
    """Every text that a type lists as allowed."""
    if get_origin(annotation) is Literal:
        return [value for value in get_args(annotation) if isinstance(value, str)]
    return [word for part in get_args(annotation) for word in spellings(part)]


def nearest_key(
    key: str, section: str, root: type[BaseModel] = TrainJob, form: object = None
) -> str | None:
    """The key that was probably meant by ``key`` in the section at the dotted path ``section``.

    One slip away from a key of the same section goes first, then the same key of another section
    (as a dotted path), then what is less alike.
    """
    loc = [int(part) if part.isdecimal() else part for part in section.split(".") if part]
    siblings = keys_of(section_at(loc, root, form))
    slip = nearest(key, siblings, cutoff=1.0)
    if slip is not None or root is not TrainJob:
        return slip or nearest(key, siblings)
    if (section, key) in _IN_SECTION:
        return _IN_SECTION[section, key]
    places = {**_places(), **ELSEWHERE}
    if key in places:
        return places[key]
    return nearest(key, siblings)


_IN_SECTION: dict[tuple[str, str], str] = {
    ("data", "name"): "source",
    ("data", "path"): "source",
    ("data", "url"): "source",
    ("tracking", "url"): "uri",
    ("cluster", "gpus"): "gpus_per_worker",
    ("cluster", "cpus"): "cpus_per_worker",
}


@cache
def _places() -> dict[str, str]:
    """Key -> dotted path of the outermost section that has it; keys of plugins are left out."""
    found: dict[str, str] = {}
    waiting: list[tuple[str, type[BaseModel]]] = [("", TrainJob)]
    while waiting:
        path, model = waiting.pop(0)
        for name, field in model.model_fields.items():
            inner = f"{path}.{field.alias or name}" if path else name
            found.setdefault(field.alias or name, inner)
            for member in _members(_annotation(field)):
                if _is_model(member) and issubclass(member, Section):
                    waiting.append((inner, member))
    return found


def _model_words(model: type[BaseModel]) -> str:
    if issubclass(model, PluginSpec):
        return "a plugin: its name, or a section with 'name' and its options"
    keys = f"a section with the keys {one_of(keys_of(model), limit=20)}"
    if model is HeldOut:
        return f"a number > 0 and < 1, or {keys}"
    switch = "true or false, or "
    short = {
        Monitor: "the name of a metric, or ",
        StreamingSpec: switch,
        CompileSpec: switch,
    }
    return f"{short.get(model, '')}{keys}"


def _annotation(field: FieldInfo) -> Any:
    """The type of a field with the limits that pydantic keeps beside it."""
    if not field.metadata:
        return field.annotation
    return Annotated[(field.annotation, *field.metadata)]


def _members(annotation: Any) -> tuple[Any, ...]:
    """The members of a union, however it is annotated; null last."""
    if get_origin(annotation) is Annotated and get_origin(get_args(annotation)[0]) in _UNIONS:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in _UNIONS:
        nested = [part for member in get_args(annotation) for part in _members(member)]
        return tuple(sorted(nested, key=lambda part: part is type(None)))
    if get_origin(annotation) is Annotated and _is_structure(get_args(annotation)[0]):
        return (get_args(annotation)[0],)
    return (annotation,)


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _is_structure(annotation: Any) -> bool:
    return _is_model(annotation) or get_origin(annotation) in (list, dict)


def _inner(annotation: Any, key: str | int) -> Iterator[Any]:
    """The types that a value of this type can have at ``key``."""
    for member in _members(annotation):
        if isinstance(key, int) and get_origin(member) is list:
            yield get_args(member)[0]
        elif isinstance(key, str) and get_origin(member) is dict:
            yield get_args(member)[1]
        elif isinstance(key, str) and _is_model(member):
            for name, field in member.model_fields.items():
                if key == (field.alias or name):
                    yield _annotation(field)
