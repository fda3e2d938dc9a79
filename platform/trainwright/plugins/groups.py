"""The kinds of plugin and what each is for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

GROUPS: dict[str, str] = {
    "objectives": "losses that training minimises",
    "strategies": "methods that change how training proceeds",
    "procedures": "methods that do not train: attacks, searches, analyses",
    "aggregators": "how a federation makes one model of what its clients send",
    "partitioners": "which samples belong to which client of a federation",
    "update_transforms": "what is done to an update on its way to the server",
    "models": "networks that can be trained",
    "datasets": "sources of samples",
    "transforms": "changes made to each batch",
    "metrics": "measures computed at evaluation",
    "optimizers": "update rules of the weights",
    "schedules": "learning rate over time",
}
"""Group name -> what it holds; the entry-point group is ``trainwright.<group>``."""

DERIVED = (
    "num_classes",
    "in_features",
    "in_channels",
    "image_size",
    "out_features",
    "out_channels",
    "vocabulary_size",
    "sequence_length",
)
"""Constructor parameters that the data answers when the job leaves them out."""


def derived_options(group: str) -> tuple[str, ...]:
    """The options of a group's plugins that the data answers; for a metric its task as well."""
    if group == "metrics":
        return (*DERIVED, "task")
    return DERIVED if group in ("models", "objectives", "strategies") else ()


class Factory(Protocol):
    """A class or function that makes the plugin's object from its options."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Make the object."""
        ...


@dataclass(frozen=True)
class Plugin:
    """A plugin that was found and imported.

    Attributes:
        name: the name it was asked for.
        group: one of :data:`GROUPS`.
        factory: class or function; its typed signature is the schema of the options.
        origin: where it comes from, for example ``trainwright_objectives 0.1.0``, ``torch.nn``
            or ``file losses.py``.
        source_file: the file beside the job that defines it; None for installed packages.
        aliases: other short names for the same plugin.
    """

    name: str
    group: str
    factory: Factory
    origin: str
    source_file: Path | None = None
    aliases: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class BrokenPlugin:
    """A plugin that is declared but cannot be imported; the others are not affected.

    Attributes:
        name: its short name.
        group: one of :data:`GROUPS`.
        origin: the distribution that declares it.
        error: the cause, in words.
    """

    name: str
    group: str
    origin: str
    error: str
