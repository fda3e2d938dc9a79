"""Plugins by import path, or from a file beside the job."""

from __future__ import annotations

import importlib
import os.path
from functools import reduce
from pathlib import Path
from types import ModuleType
from typing import Any

from trainwright.errors import PluginError, Problem
from trainwright.plugins.adapters import adapt
from trainwright.plugins.causes import guarded, import_cause
from trainwright.plugins.files import job_folder
from trainwright.plugins.groups import Plugin
from trainwright.plugins.imports import locate
from trainwright.suggest import nearest, one_of


def is_path(name: str) -> bool:
    """Whether ``name`` is a file or an import path rather than a short name."""
    return "." in name or ":" in name


def load_path(group: str, name: str, base: Path, path: str) -> Plugin:
    """The plugin that ``name`` leads to.

    Args:
        group: group in which it is to serve.
        name: ``file.py:Name``, ``package.module.Name`` or ``package.module:Name``; a module
            beside the job goes before an installed one.
        base: absolute path of the folder of the job.
        path: dotted path in the job, for messages.

    Raises:
        PluginError: there is no such file, module or name, or its import fails.
    """
    if ".py:" in name or name.endswith(".py"):
        file_name, _, attribute = name.rpartition(":") if ":" in name else (name, "", "")
        if not attribute:
            raise PluginError(Problem(path, "name the class or function: file.py:Name", name))
        return _local(group, name, _module_of(file_name, base, name, path), attribute, base, path)
    module, _, attribute = name.partition(":") if ":" in name else name.rpartition(".")
    if not module or not attribute:
        raise PluginError(Problem(path, "an import path reads package.module.Name", name))
    if locate(base, module.partition(".")[0]) or locate(base, module):
        return _local(group, name, module, attribute, base, path)
    return _installed(group, name, module, attribute, path)


def _installed(group: str, name: str, module: str, attribute: str, path: str) -> Plugin:
    imported: list[ModuleType] = []
    error = guarded(lambda: imported.append(importlib.import_module(module)))
    if error is not None:
        raise PluginError(_not_importable(name, module, error, path)) from error
    found = _attribute(imported[0], attribute, module, name, path)
    return Plugin(name, group, adapt(group, found), module)


def _module_of(file_name: str, base: Path, name: str, path: str) -> str:
    """The dotted name, below the folder of the job, of the module that a file is."""
    file = Path(os.path.normpath(base / file_name))
    if not file.is_relative_to(base):
        message = f"{file_name} lies outside the folder of the job, {base}"
        raise PluginError(Problem(path, message, name, mend="put it beside the job file or below"))
    parts = file.relative_to(base).with_suffix("").parts
    if any("." in part for part in parts):
        message = f"{file_name} cannot be a module: there is a point inside a name"
        raise PluginError(Problem(path, message, name, mend="rename it"))
    return ".".join(parts)


def _local(group: str, name: str, dotted: str, attribute: str, base: Path, path: str) -> Plugin:
    file = locate(base, dotted)
    if file is None:
        raise PluginError(_no_file(dotted, base, name, path))
    shown = file.relative_to(base).as_posix()
    loaded: list[ModuleType] = []
    error = guarded(lambda: loaded.append(job_folder(base).load(dotted)))
    if error is not None:
        message = f"the plugin file {shown} cannot be imported: {import_cause(error, base)}"
        raise PluginError(Problem(path, message, name)) from error
    found = _attribute(loaded[0], attribute, shown, name, path)
    return Plugin(name, group, adapt(group, found), f"file {shown}", source_file=file)


def _attribute(module: ModuleType, dotted: str, shown: str, name: str, path: str) -> Any:
    """The class or function ``dotted`` of a module."""
    try:
        found = reduce(getattr, dotted.split("."), module)
    except AttributeError:
        found = None
    if callable(found):
        return found
    public = {
        key: value
        for key, value in vars(module).items()
        if callable(value) and not key.startswith("_")
    }
    own = [
        key for key, value in public.items() if getattr(value, "__module__", "") == module.__name__
    ]
    problem = "has no" if found is None else "has no class or function"
    raise PluginError(
        Problem(
            path,
            f"{shown} {problem} {dotted!r}",
            name,
            allowed=one_of(own) or None,
            nearest=nearest(dotted, public),
        )
    )


def _not_importable(name: str, module: str, error: BaseException, path: str) -> Problem:
    missing = getattr(error, "name", None)
    if (
        isinstance(error, ModuleNotFoundError)
        and missing
        and f"{module}.".startswith(f"{missing}.")
    ):
        return Problem(
            path,
            f"there is no module {missing!r}",
            name,
            mend="install its package, or put the module beside the job file",
        )
    return Problem(path, f"{module} cannot be imported: {import_cause(error)}", name)


def _no_file(dotted: str, base: Path, name: str, path: str) -> Problem:
    wanted = dotted.replace(".", "/") + ".py"
    names = sorted(item.relative_to(base).as_posix() for item in base.glob("*.py"))
    return Problem(
        path,
        f"there is no {wanted} in the folder of the job, {base}",
        name,
        allowed=one_of(names) if names else None,
        nearest=nearest(wanted, names),
    )
