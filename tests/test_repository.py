"""Rules of the repository that no single package can keep."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {
    "platform": "trainwright",
    "objectives": "trainwright_objectives",
    "strategies": "trainwright_strategies",
}
MAX_LINES = 300
OBJECTIVES_MAY_IMPORT = {"torch", "numpy", "scipy", "trainwright_objectives"}


def python_files(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from (ROOT / folder).rglob("*.py")


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_no_folder_named_platform_is_a_package() -> None:
    """Such a package would hide the standard library's module from Ray, torch and pip."""
    folders = [ROOT / "platform", *(p for p in (ROOT / "tests").rglob("platform") if p.is_dir())]
    folders += [p for top in PACKAGES for p in (ROOT / top).rglob("platform") if p.is_dir()]
    assert len(folders) >= 2
    assert [folder for folder in folders if (folder / "__init__.py").exists()] == []


def test_tests_are_no_packages() -> None:
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_every_folder_of_the_packages_is_a_package() -> None:
    """A folder without ``__init__.py`` is left out of what import-linter and wheels see."""
    bare = {
        file.parent.relative_to(ROOT)
        for top, package in PACKAGES.items()
        for file in (ROOT / top / package).rglob("*.py")
        if not (file.parent / "__init__.py").exists()
    }
    assert bare == set()


def test_files_stay_short() -> None:
    too_long = {
        str(file.relative_to(ROOT)): length
        for file in python_files(*PACKAGES, "tests", "jobs")
        if (length := len(file.read_text().splitlines())) > MAX_LINES
    }
    assert too_long == {}


def test_nothing_lies_about_at_the_top() -> None:
    """A file that slipped into a commit by ``git add`` shows here first."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    known = {*PACKAGES, "jobs", "k8s", "tests", ".ci", ".gitignore", ".pre-commit-config.yaml"}
    known |= {"Makefile", "pyproject.toml", "constraints.txt"}
    known |= {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE"}
    assert {name.partition("/")[0] for name in listed.stdout.split()} - known == set()


def test_arrows_between_the_packages() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout
    assert "6 kept, 0 broken" in result.stdout


def test_objectives_import_only_numerical_libraries() -> None:
    found = {
        (file.name, name)
        for file in python_files("objectives")
        for name in top_level_imports(file)
        if name not in OBJECTIVES_MAY_IMPORT and name not in sys.stdlib_module_names
    }
    assert found == set()


def top_level_imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield (node.module or "").split(".")[0]


def test_import_is_light() -> None:
    """``import trainwright`` loads no torch, Ray, DeepSpeed, MLflow, pyarrow or scikit-learn."""
    code = (
        "import json, sys, trainwright; print(json.dumps(sorted("
        "{'torch', 'ray', 'deepspeed', 'mlflow', 'pyarrow', 'sklearn'} & set(sys.modules))))"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(result.stdout) == []


def locked() -> dict[str, str]:
    """Name -> version of every line of the lock file."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line.split(";")[0].strip() for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+_-]+", pin) for pin in pins), pins
    return {canonicalize_name(pin.split("==")[0]): pin.split("==")[1] for pin in pins}


def direct_dependencies() -> list[Requirement]:
    declared = project()["project"]
    extras = [line for lines in declared["optional-dependencies"].values() for line in lines]
    return [Requirement(line) for line in [*declared["dependencies"], *extras]]


@pytest.mark.parametrize("requirement", direct_dependencies(), ids=str)
def test_lock_file_pins_each_direct_dependency_within_its_range(requirement: Requirement) -> None:
    pins = locked()
    name = canonicalize_name(requirement.name)
    assert name in pins, f"{name} is missing in constraints.txt: run `make lock`"
    assert requirement.specifier.contains(pins[name], prereleases=True)


def test_deepspeed_is_asked_for_on_linux_only() -> None:
    (deepspeed,) = [r for r in direct_dependencies() if r.name == "deepspeed"]
    assert deepspeed.marker is not None
    assert deepspeed.marker.evaluate({"sys_platform": "linux"})
    assert not deepspeed.marker.evaluate({"sys_platform": "darwin"})


def test_license_is_the_one_declared() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert project()["project"]["license"] == "Apache-2.0"
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_every_entry_point_names_something() -> None:
    """A plugin whose file was moved or renamed must not wait for a user to find out."""
    for group, entries in project()["project"]["entry-points"].items():
        for name, target in entries.items():
            module, _, attribute = target.partition(":")
            package = module.split(".")[0]
            (top,) = [top for top, known in PACKAGES.items() if known == package]
            file = ROOT / top / Path(*module.split(".")).with_suffix(".py")
            assert file.exists(), f"{group}: {name} -> {target}"
            defined = {getattr(node, "name", None) for node in ast.parse(file.read_text()).body}
            assert attribute in defined, f"{group}: {name} -> {target}"


def test_an_old_python_is_named_before_anything_is_installed(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    pretend = "import sys; sys.version_info = (3, 10, 13); exec(sys.argv[1])"
    old.write_text(f"#!/bin/sh\nshift\nexec {sys.executable} -c '{pretend}' \"$1\"\n")
    old.chmod(0o755)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    done = subprocess.run(
        ["make", "demo", f"PYTHON={old}"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert f"{old} is too old" in done.stderr
    assert "make demo PYTHON=python3.12" in done.stderr
    assert not (tmp_path / ".venv").exists()
