"""Reading names and docstrings from source files, so that listing plugins imports no library."""

from __future__ import annotations

import ast
import importlib.util
from functools import cache
from pathlib import Path


def module_file(module: str) -> Path | None:
    """The source file of an installed module, found without importing it or its parents."""
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    for folder in (spec.submodule_search_locations or []) if spec else []:
        stem = Path(folder, *rest)
        for candidate in (stem / "__init__.py", stem.with_name(stem.name + ".py")):
            if candidate.is_file():
                return candidate
    return Path(spec.origin) if spec and spec.origin and not rest else None


@cache
def docstrings(file: Path) -> dict[str, str]:
    """Class or function name -> docstring (empty if it has none), for one source file.

    That of a constructor is under ``<class>.__init__``.

    Raises:
        SyntaxError: the file is not Python.
    """
    found = {}
    for node in ast.parse(file.read_bytes(), filename=str(file)).body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            found[node.name] = ast.get_docstring(node) or ""
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef) and inner.name == "__init__":
                    found[f"{node.name}.__init__"] = ast.get_docstring(inner) or ""
    return found


@cache
def exported(file: Path) -> tuple[str, ...]:
    """The names in a module's literal ``__all__``; none when it has no such list."""
    for node in ast.parse(file.read_bytes(), filename=str(file)).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, (ast.List, ast.Tuple)):
            targets = [target.id for target in node.targets if isinstance(target, ast.Name)]
            if "__all__" in targets:
                names = [item.value for item in node.value.elts if isinstance(item, ast.Constant)]
                return tuple(str(name) for name in names)
    return ()


@cache
def imported_from(file: Path) -> dict[str, str]:
    """Name -> module, for the ``from module import name`` lines of a source file."""
    return {
        alias.asname or alias.name: node.module
        for node in ast.parse(file.read_bytes(), filename=str(file)).body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
