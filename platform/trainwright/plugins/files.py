"""Plugin files beside a job: loaded once, under a stable module name, again when they change.

The folder of a job is a package of its own, named after the folder's path. Its modules are found
by a finder that serves such packages only, so nothing is put on ``sys.path``.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.abc
import importlib.util
import sys
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from trainwright.plugins.imports import LocalImports, locate


@dataclass(frozen=True)
class Source:
    """One module beside a job as it was read.

    Attributes:
        file: absolute path.
        content: the bytes of the file.
        tree: its syntax tree, local imports rewritten.
        imports: dotted names, below the folder, of the local modules that it imports.
    """

    file: Path
    content: bytes
    tree: ast.Module
    imports: frozenset[str]


class JobFolder:
    """The modules below one folder, as a package.

    Attributes:
        base: absolute path of the folder.
        package: name of the package that its modules belong to.
    """

    def __init__(self, base: Path, package: str) -> None:
        self.base = base
        self.package = package
        self.loaded: dict[str, Source] = {}

    def load(self, dotted: str) -> ModuleType:
        """The module ``dotted`` below the folder, current with what is on disk.

        Raises:
            Exception: whatever its import raises.
        """
        with _LOCK:
            self._forget_changed()
            return importlib.import_module(f"{self.package}.{dotted}")

    def read(self, dotted: str, file: Path) -> Source:
        """Read and parse one module without importing it.

        Raises:
            SyntaxError: the file is not Python.
            OSError: the file cannot be read.
        """
        content = file.read_bytes()
        tree = ast.parse(content, filename=str(file))
        is_package = file.name == "__init__.py"
        rewriter = LocalImports(self.base, self.package, dotted, is_package)
        tree = ast.fix_missing_locations(rewriter.visit(tree))
        return Source(file, content, tree, frozenset(rewriter.found))

    def closure(self, dotted: Iterable[str]) -> dict[str, Source]:
        """The modules named and all local modules they import, at once or later in a function.

        Raises:
            SyntaxError: one of the files is not Python.
        """
        sources: dict[str, Source] = {}
        waiting = sorted(dotted)
        while waiting:
            name = waiting.pop()
            if name in sources:
                continue
            source = self.loaded.get(name)
            if source is None:
                file = locate(self.base, name)
                if file is None:
                    continue
                source = self.read(name, file)
            sources[name] = source
            waiting += sorted(source.imports | _packages_around(name))
        return sources

    def spec(self, fullname: str) -> ModuleSpec | None:
        """The import system's description of a module of this package."""
        if fullname == self.package:
            return _folder_spec(fullname, self.base)
        dotted = fullname[len(self.package) + 1 :]
        file = locate(self.base, dotted)
        if file is not None:
            return importlib.util.spec_from_file_location(
                fullname,
                file,
                loader=_Loader(fullname, file, self),
                submodule_search_locations=(
                    [str(file.parent)] if file.name == "__init__.py" else None
                ),
            )
        below = self.base.joinpath(*dotted.split("."))
        return _folder_spec(fullname, below) if below.is_dir() else None

    def _forget_changed(self) -> None:
        """Drop the modules whose files changed, and those that import them, so they load anew."""
        stale = {name for name, source in self.loaded.items() if not _unchanged(source)}
        while more := {
            name
            for name, source in self.loaded.items()
            if name not in stale and source.imports & stale
        }:
            stale |= more
        if stale:
            importlib.invalidate_caches()
        for name in stale:
            del self.loaded[name]
            self._unload(f"{self.package}.{name}")

    def _unload(self, fullname: str) -> None:
        parent, _, attribute = fullname.rpartition(".")
        sys.modules.pop(fullname, None)
        if parent in sys.modules:
            # `from package import module` looks at the attribute first and would find the old one
            vars(sys.modules[parent]).pop(attribute, None)


class _Loader(SourceFileLoader):
    """Compiles a module beside a job; byte code is never kept, a changed file always counts."""

    def __init__(self, fullname: str, file: Path, folder: JobFolder) -> None:
        super().__init__(fullname, str(file))
        self.folder = folder

    def get_code(self, fullname: str) -> CodeType:
        """Read, rewrite and compile the file."""
        dotted = fullname[len(self.folder.package) + 1 :]
        source = self.folder.read(dotted, Path(self.path))
        code = compile(source.tree, self.path, "exec", dont_inherit=True)
        self.folder.loaded[dotted] = source
        return code

    def exec_module(self, module: ModuleType) -> None:
        """Run the module; one that fails is not remembered as loaded."""
        try:
            super().exec_module(module)
        except BaseException:
            self.folder.loaded.pop(module.__name__[len(self.folder.package) + 1 :], None)
            raise


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules of all job folders opened in this process, and nothing else."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Where the module ``fullname`` is, if it belongs to a job folder."""
        folder = _BY_PACKAGE.get(fullname.partition(".")[0])
        return folder.spec(fullname) if folder else None


_LOCK = threading.RLock()
_BY_PACKAGE: dict[str, JobFolder] = {}
_BY_BASE: dict[Path, JobFolder] = {}
_FINDER = _Finder()


def job_folder(base: Path, stands_for: Path | None = None) -> JobFolder:
    """The package of the folder ``base``; the same object for the same folder.

    Args:
        base: folder of a job file.
        stands_for: folder on another machine whose files ``base`` holds: its modules get the
            names they have there. Counts only when the folder is opened for the first time.
    """
    base = base.resolve()
    with _LOCK:
        folder = _BY_BASE.get(base)
        if folder is None:
            package = _package_name(stands_for or base)
            if package in _BY_PACKAGE:
                package = _package_name(base)
            folder = _BY_BASE[base] = _BY_PACKAGE[package] = JobFolder(base, package)
            if _FINDER not in sys.meta_path:
                sys.meta_path.insert(0, _FINDER)
        return folder


def _package_name(base: Path) -> str:
    return f"trainwright_job_{hashlib.sha256(str(base).encode()).hexdigest()[:10]}"


def _folder_spec(fullname: str, path: Path) -> ModuleSpec:
    spec = ModuleSpec(fullname, None, is_package=True)
    spec.submodule_search_locations = [str(path)]
    return spec


def _packages_around(dotted: str) -> set[str]:
    parts = dotted.split(".")
    return {".".join(parts[:stop]) for stop in range(1, len(parts))}


def _unchanged(source: Source) -> bool:
    return source.file.is_file() and source.file.read_bytes() == source.content
