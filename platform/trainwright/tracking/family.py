"""Which runs are parts of another one, as the folder of that one says."""

from __future__ import annotations

from trainwright.storage import Folder

CHILDREN = "children.json"
"""File in the parent's folder: the names of its children, or name -> label for people."""


def children_of(folder: Folder) -> list[str]:
    """The names of a run's children; empty for a run that has none."""
    return list(labels_of(folder))


def labels_of(folder: Folder) -> dict[str, str]:
    """Name of each child -> what it is called for people, which may be the name itself."""
    try:
        found = folder.read_json(CHILDREN)
    except (FileNotFoundError, ValueError):
        return {}
    if isinstance(found, dict):
        return {str(name): str(label) for name, label in found.items()}
    return {str(name): str(name) for name in found} if isinstance(found, list) else {}
