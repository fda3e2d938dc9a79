from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent

import pytest


@pytest.fixture
def job(tmp_path):
    """A folder of a job; ``job(name, text)`` writes a file into it."""

    class Job:
        base = tmp_path / "job"

        def __call__(self, name: str, text: str) -> Path:
            file = self.base / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(dedent(text))
            return file

    Job.base.mkdir()
    return Job()


@pytest.fixture
def distribution(tmp_path, monkeypatch):
    """Installs a package that declares plugins: ``distribution(name, modules, entry_points)``."""

    def install(
        name: str, modules: dict[str, str], entry_points: dict[str, dict[str, str]]
    ) -> None:
        site = tmp_path / f"site_{name}"
        info = site / f"{name}-2.5.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.5\n")
        lines = []
        for group, points in entry_points.items():
            lines += [f"[trainwright.{group}]", *(f"{k} = {v}" for k, v in points.items())]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
        for module, text in modules.items():
            (site / f"{module}.py").write_text(dedent(text))
        monkeypatch.syspath_prepend(str(site))
        for module in modules:
            monkeypatch.delitem(sys.modules, module, raising=False)

    return install
