"""Options that mean more than their value: paths beside the job, and plugins inside a plugin.

A constructor says so in the annotation::

    files: Annotated[str, JobPath()]
    encoder: Annotated[Callable[..., nn.Module], Nested("models")]
    transforms: Annotated[Sequence[Callable[..., Transform]], Nested("transforms")]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin

from trainwright.plugins.groups import Plugin
from trainwright.plugins.signature import parameters_of


@dataclass(frozen=True)
class JobPath:
    """Marks an option that holds paths or URLs; relative paths start at the job's folder."""


@dataclass(frozen=True)
class Nested:
    """Marks an option that names plugins, as a job does: a name, or a mapping with options.

    The constructor gets, in place of each, a function that makes the object. Keyword arguments
    of it answer options that the job leaves out, before what the data answers.

    Attributes:
        group: the kind of plugin.
    """

    group: str


def marker_of(annotation: Any, kind: type) -> Any:
    """The marker of ``kind`` in an annotation, None when there is none."""
    if get_origin(annotation) is not Annotated:
        return None
    return next((item for item in get_args(annotation)[1:] if isinstance(item, kind)), None)


def path_options(plugin: Plugin) -> list[str]:
    """The options that hold paths."""
    return [p.name for p in parameters_of(plugin.factory) if marker_of(p.annotation, JobPath)]


def nested_options(plugin: Plugin) -> dict[str, str]:
    """Option that names plugins -> their group."""
    found = {p.name: marker_of(p.annotation, Nested) for p in parameters_of(plugin.factory)}
    return {name: marker.group for name, marker in found.items() if marker is not None}


def holds_many(annotation: Any) -> bool:
    """Whether a nested option is a list of plugins."""
    if isinstance(annotation, type) or annotation is None:
        return annotation in (list, tuple)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (list, tuple, Sequence):
        return True
    if origin in (Callable, Mapping) or not arguments:
        return False
    return any(holds_many(part) for part in (arguments[:1] if origin is Annotated else arguments))


def written_form(annotation: Any) -> Any:
    """The type in which a job writes a nested option; any other annotation as it is."""
    if marker_of(annotation, Nested) is None:
        return annotation
    # Not above: defining pydantic models would slow down listing plugins.
    from trainwright.job.plugin_spec import PluginSpec

    form: Any = list[PluginSpec] if holds_many(annotation) else PluginSpec
    inner = get_args(get_args(annotation)[0])
    return form | None if type(None) in inner else form
