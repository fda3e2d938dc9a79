"""What can be said about plugins: the data behind ``trainwright list`` and ``trainwright show``."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from trainwright.errors import PluginError, Problem
from trainwright.plugins.adapters import Adapted, one_task_form, target_of
from trainwright.plugins.builtin import built_in, built_ins
from trainwright.plugins.describe import bounds, describe
from trainwright.plugins.docstring import Docstring, first_sentence
from trainwright.plugins.entries import declared, origin_of
from trainwright.plugins.examples import example
from trainwright.plugins.groups import GROUPS, Plugin, derived_options
from trainwright.plugins.paths import is_path
from trainwright.plugins.registry import check_group, find, short_names
from trainwright.plugins.signature import Parameter, Signature
from trainwright.plugins.static import docstrings, module_file
from trainwright.suggest import nearest, one_of


@dataclass(frozen=True)
class Entry:
    """One line of ``trainwright list``.

    Attributes:
        name: short name.
        group: its group.
        purpose: first sentence of its docstring.
        origin: package and version, or library.
        error: why it cannot be imported; None for a plugin in order.
        paper: arXiv number of the paper that its docstring names; None if there is none.
        card: the sections of its docstring (``Equation``, ``Args``, ``Needs``, ``Measured``,
            ``Source``...); empty for plugins of other libraries.
    """

    name: str
    group: str
    purpose: str
    origin: str
    error: str | None = None
    paper: str | None = None
    card: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Option:
    """One option of a plugin.

    Attributes:
        name: as written in the job.
        type: in words.
        range: allowed range, empty when there is none.
        required: whether the job must give it.
        default: value when left out; None when there is none to show.
        derived: whether the data answers it when the job does not.
        description: from the docstring.
    """

    name: str
    type: str
    range: str
    required: bool
    default: Any
    derived: bool
    description: str


@dataclass(frozen=True)
class Card:
    """One page of ``trainwright show``.

    Attributes:
        name: name it was asked for.
        group: its group.
        purpose: first sentence of the docstring.
        origin: package and version, library, or file.
        implementation: dotted path of the class or function.
        aliases: other short names.
        options: its options, in order.
        open: whether it takes further options.
        needs: objectives: arguments of ``forward`` that must be bound to outputs or columns.
        takes: objectives: arguments of ``forward`` that may be bound.
        declares: strategies: what it needs and where it is right.
        example: how it stands in a job file.
        source: the paper, from the docstring's section of that name.
        text: the whole docstring.
    """

    name: str
    group: str
    purpose: str
    origin: str
    implementation: str
    aliases: tuple[str, ...]
    options: tuple[Option, ...]
    open: bool
    needs: tuple[str, ...]
    takes: tuple[str, ...]
    declares: Mapping[str, Any] | None
    example: str
    source: str | None
    text: str

    def to_json(self) -> dict[str, Any]:
        """The card as plain JSON values."""
        return dataclasses.asdict(self)


def listing(group: str | None = None) -> list[Entry]:
    """Every plugin with a short name, of one group or all, without importing torch for it.

    Docstrings of libraries and of Trainwright's own packages are read from source. Plugins of
    other distributions are imported, so that a broken one is seen here.

    Raises:
        PluginError: there is no such group.
    """
    if group is not None:
        check_group(group)
    return [
        _entry(one, name) for one in ([group] if group else GROUPS) for name in short_names(one)
    ]


def card(name: str, group: str | None = None, base: Path | None = None) -> Card:
    """Everything known about one plugin.

    Args:
        name: short name, import path or ``file.py:Name``.
        group: its group; needed for a path, and for a short name that several groups have.
        base: folder of the job; the current folder when left out.

    Raises:
        PluginError: there is no such plugin, or the group must be said.
    """
    plugin = find(group or _group_of(name), name, base)
    signature = Signature.of(plugin)
    target = target_of(plugin.factory)
    document = documentation(target)
    if target.__module__.startswith("torchmetrics."):
        document = document.merged(documentation(one_task_form(target)))
    needs, takes = _forward_arguments(plugin, target)
    return Card(
        name=plugin.name,
        group=plugin.group,
        purpose=_purpose(plugin, document),
        origin=plugin.origin,
        implementation=f"{target.__module__}.{target.__qualname__}",
        aliases=plugin.aliases,
        options=tuple(_option(plugin, item, document) for item in signature.parameters.values()),
        open=signature.open,
        needs=needs,
        takes=takes,
        declares=_declarations(target),
        example=example(plugin, signature),
        source=document.sections.get("Source"),
        text=document.text,
    )


def _purpose(plugin: Plugin, document: Docstring) -> str:
    item = None if declared(plugin.group).get(plugin.name) else built_in(plugin.group, plugin.name)
    return first_sentence(item.doc) if item else document.purpose


def documentation(target: Any) -> Docstring:
    """The docstring of a class or function, with the arguments its constructor describes.

    A class without one of its own has none: that of its base would say the wrong thing.
    """
    own = Docstring.parse(
        vars(target).get("__doc__") if inspect.isclass(target) else target.__doc__
    )
    return (
        own.merged(Docstring.parse(vars(target)["__init__"].__doc__)) if _has_init(target) else own
    )


def _has_init(target: Any) -> bool:
    return inspect.isclass(target) and "__init__" in vars(target)


def _entry(group: str, name: str) -> Entry:
    points = declared(group).get(name)
    if not points:
        item = built_ins(group)[name]
        return Entry(name, group, first_sentence(item.doc), item.origin)
    origin = origin_of(points[0])
    own = len(points) == 1 and points[0].module.startswith("trainwright")
    document = _documented_in_source(points[0]) if own else None
    if document is None:
        try:
            document = documentation(target_of(find(group, name).factory))
        except PluginError as error:
            return Entry(name, group, "", origin, error.problems[0].message)
    return Entry(
        name, group, document.purpose, origin, paper=document.paper, card=document.sections
    )


def _documented_in_source(point: EntryPoint) -> Docstring | None:
    """What :func:`documentation` says, unimported; None when the module does not define it."""
    file = module_file(point.module)
    try:
        texts = docstrings(file) if file else {}
    except SyntaxError:
        return None  # the import that follows says where
    if point.attr not in texts:
        return None
    of_constructor = Docstring.parse(texts.get(f"{point.attr}.__init__"))
    return Docstring.parse(texts[point.attr]).merged(of_constructor)


def _group_of(name: str) -> str:
    """The one group that has a plugin of this short name."""
    if is_path(name):
        message = "an import path does not say what it is for"
        allowed = "a group: " + ", ".join(GROUPS)
        mend = f"put the group and a slash in front, as in objectives/{name}"
        raise PluginError(Problem("", message, name, allowed=allowed, mend=mend))
    groups = [group for group in GROUPS if name in short_names(group)]
    if len(groups) > 1:
        message = f"{name!r} is in several groups"
        raise PluginError(Problem("", message, name, allowed="a group: " + ", ".join(groups)))
    return groups[0] if groups else _group_by_lookup(name)


def _group_by_lookup(name: str) -> str:
    """The group in which an unlisted name (a class name, say) is found, or a good refusal."""
    for group in GROUPS:
        if built_in(group, name):
            return group
    names = [other for group in GROUPS for other in short_names(group)]
    raise PluginError(
        Problem(
            "",
            f"there is no plugin {name!r}",
            name,
            allowed=one_of(names),
            nearest=nearest(name, names),
            mend="`trainwright list` shows all of them",
        )
    )


def _option(plugin: Plugin, item: Parameter, document: Docstring) -> Option:
    renamed = plugin.factory.renamed if isinstance(plugin.factory, Adapted) else {}
    return Option(
        name=item.name,
        type=describe(item.annotation),
        range=bounds(item.annotation),
        required=item.required,
        default=None if item.required else _shown(item.default),
        derived=item.name in derived_options(plugin.group),
        description=document.arguments.get(renamed.get(item.name, item.name), ""),
    )


def _shown(value: Any) -> Any:
    """A default as a JSON value; what JSON has no form for as text."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, (list, tuple)):
        return [_shown(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _shown(item) for key, item in value.items()}
    return str(value)


def _forward_arguments(plugin: Plugin, target: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    forward = getattr(target, "forward", None)
    if plugin.group != "objectives" or not inspect.isclass(target) or forward is None:
        return (), ()
    given = list(inspect.signature(forward).parameters.values())[1:]
    named = [item for item in given if item.kind not in (item.VAR_KEYWORD, item.VAR_POSITIONAL)]
    needs = tuple(item.name for item in named if item.default is item.empty)
    return needs, tuple(item.name for item in named if item.default is not item.empty)


def _declarations(target: Any) -> dict[str, Any] | None:
    declares = getattr(target, "declares", None)
    if not dataclasses.is_dataclass(declares) or isinstance(declares, type):
        return None
    return {name: _shown(value) for name, value in dataclasses.asdict(declares).items()}
