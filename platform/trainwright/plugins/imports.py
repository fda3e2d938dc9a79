"""Imports between files beside a job: rewritten so that they stay inside the job's own package.

A plugin file may say ``import helpers`` for a module that lies beside it. Were that left to
``sys.path``, two jobs with a ``helpers.py`` each could not live in one process, and a user's
``utils.py`` would hide an installed package of that name from everybody. So the import is turned,
at the level of the syntax tree, into one of the module of that name in the job's package.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from pathlib import Path


def locate(base: Path, dotted: str) -> Path | None:
    """The file of the module ``dotted`` below ``base``: ``a/b.py`` or ``a/b/__init__.py``."""
    parts = dotted.split(".")
    if any(not part or "/" in part for part in parts):
        return None
    stem = base.joinpath(*parts)
    for candidate in (stem / "__init__.py", stem.with_name(stem.name + ".py")):
        if candidate.is_file():
            return candidate
    return None


@dataclass
class LocalImports(ast.NodeTransformer):
    """Points the imports of local modules at the job's package and remembers them.

    Attributes:
        base: folder of the job.
        package: name of the package that stands for ``base``.
        module: dotted name, below ``base``, of the module whose tree is visited.
        is_package: whether that module is an ``__init__.py``.
        found: dotted names below ``base`` of the modules it imports.
    """

    base: Path
    package: str
    module: str
    is_package: bool
    found: set[str] = field(default_factory=set)

    def visit_Import(self, node: ast.Import) -> list[ast.stmt]:
        """``import helpers``, ``import helpers.part``, ``import helpers as h``."""
        statements: list[ast.stmt] = []
        for alias in node.names:
            top, _, rest = alias.name.partition(".")
            local = self._local(top)
            if local is None:
                statements.append(ast.Import([alias]))
                continue
            dotted = f"{local}.{rest}" if rest else local
            self._note(dotted)
            if alias.asname:
                statements.append(ast.Import([ast.alias(self._full(dotted), alias.asname)]))
                continue
            if rest:
                statements.append(ast.Import([ast.alias(self._full(dotted), "_trainwright_part")]))
            parent = self._full(local).rpartition(".")[0]
            statements.append(ast.ImportFrom(parent, [ast.alias(top)], 0))
        return [ast.copy_location(statement, node) for statement in statements]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom:
        """``from helpers import f``, and relative imports, which work as they are."""
        if node.level:
            self._note_relative(node)
            return node
        top, _, rest = (node.module or "").partition(".")
        local = self._local(top)
        if local is None:
            return node
        dotted = f"{local}.{rest}" if rest else local
        self._note(dotted, *(f"{dotted}.{alias.name}" for alias in node.names))
        return ast.copy_location(ast.ImportFrom(self._full(dotted), node.names, 0), node)

    def _local(self, top: str) -> str | None:
        """The dotted name below the base that an absolute import of ``top`` means, if any.

        A file outside any package also sees its neighbours. A module never means itself: a
        user's ``mlflow.py`` that imports mlflow wants the installed one.
        """
        parent = self.module.rpartition(".")[0]
        beside = [f"{parent}.{top}"] if parent and self._is_loose(parent) else []
        for dotted in [*beside, top]:
            if dotted != self.module and locate(self.base, dotted):
                return dotted
        return None

    def _is_loose(self, parent: str) -> bool:
        return not self.is_package and not (
            self.base.joinpath(*parent.split("."), "__init__.py").is_file()
        )

    def _full(self, dotted: str) -> str:
        return f"{self.package}.{dotted}"

    def _note_relative(self, node: ast.ImportFrom) -> None:
        parts = self.module.split(".")
        here = parts if self.is_package else parts[:-1]
        climb = node.level - 1
        if climb > len(here):
            return
        start = here[: len(here) - climb] + (node.module.split(".") if node.module else [])
        self._note(".".join(start), *(".".join([*start, alias.name]) for alias in node.names))

    def _note(self, *names: str) -> None:
        """Remember the modules among ``names`` that exist, with the packages around them."""
        for name in names:
            parts = name.split(".")
            for stop in range(1, len(parts) + 1):
                dotted = ".".join(parts[:stop])
                if dotted and dotted != self.module and locate(self.base, dotted):
                    self.found.add(dotted)
