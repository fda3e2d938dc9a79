"""Writing the files of a new plugin."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

from trainwright.errors import InputError, Problem
from trainwright.suggest import nearest, one_of

KINDS = ("objective", "strategy")

_GROUPS = {"objective": "objectives", "strategy": "strategies"}


@dataclass(frozen=True)
class Started:
    """A plugin that has been started.

    Attributes:
        plugin: the file with its class.
        test: its test.
        job: the comparison that shows whether it helps.
        class_name: the class in ``plugin``.
    """

    plugin: Path
    test: Path
    job: Path
    class_name: str


def start(kind: str, name: str, folder: Path) -> Started:
    """Write a plugin that works, a test of it that passes, and a comparison with its baseline.

    Args:
        kind: ``objective`` or ``strategy``.
        name: of the plugin, in snake case; also the name of its file.
        folder: where the three files go; made if it is not there.

    Raises:
        InputError: the kind or the name cannot be, or one of the files exists already.
    """
    _check(kind, name)
    class_name = "".join(part.capitalize() for part in name.split("_"))
    started = Started(
        folder / f"{name}.py", folder / f"test_{name}.py", folder / f"{name}.yaml", class_name
    )
    written = {
        started.plugin: f"{kind}.py.txt",
        started.test: f"test_{kind}.py.txt",
        started.job: f"{kind}.yaml.txt",
    }
    if there := [str(path) for path in written if path.exists()]:
        message = f"{one_of(there)} would be overwritten"
        raise InputError(Problem("NAME", message, name, mend="choose another name, or --to"))
    folder.mkdir(parents=True, exist_ok=True)
    words = {"name": name, "Class": class_name, "label": name.replace("_", "-")}
    templates = files("trainwright.scaffold") / "templates"
    for path, template in written.items():
        path.write_text(Template((templates / template).read_text()).substitute(words))
    return started


def _check(kind: str, name: str) -> None:
    if kind not in KINDS:
        closest = nearest(kind, KINDS)
        raise InputError(Problem("KIND", "cannot be started", kind, one_of(KINDS), closest))
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or keyword.iskeyword(name):
        allowed = "words of small letters and digits joined by _, such as focal_loss"
        raise InputError(Problem("NAME", "is no name for a file and its plugin", name, allowed))
    from trainwright.plugins.entries import declared

    if name in declared(_GROUPS[kind]):
        message = f"there is {'an' if kind[0] in 'aeiou' else 'a'} {kind} of this name already"
        raise InputError(Problem("NAME", message, name, mend=f"see `trainwright show {name}`"))
