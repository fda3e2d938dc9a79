"""No pickle is read: not by our code, and not where a file in a run's folder is one."""

from __future__ import annotations

import ast
import os
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trainwright
from trainwright.api import load
from trainwright.errors import TrainwrightError
from trainwright.orchestration.evaluating import evaluate_run
from trainwright.orchestration.exporting import export_run
from trainwright.orchestration.launch import run_job
from trainwright.overview import overview
from trainwright.storage import Folder
from trainwright.tracking import plot_run, read_all

ROOT = Path(trainwright.__file__).parents[2]
READERS = {
    "torch.load": "pickle",
    "pickle.load": "pickle",
    "pickle.loads": "pickle",
    "pickle.Unpickler": "pickle",
    "cloudpickle.load": "pickle",
    "cloudpickle.loads": "pickle",
    "joblib.load": "pickle",
    "dill.load": "pickle",
    "shelve.open": "pickle",
    "marshal.loads": "code objects",
    "pandas.read_pickle": "pickle",
    "yaml.load": "objects, unless its loader is a safe one",
    "yaml.unsafe_load": "objects",
    "numpy.load": "pickle, unless it is told not to",
}
ALLOWED = {
    # What the driver has sent to its own processes, not storage.
    "platform/trainwright/federated/transport/travel.py": {"pickle.loads"},
    "platform/trainwright/procedure/tasks.py": {"cloudpickle.loads"},
    "platform/trainwright/testing/workers.py": {"cloudpickle.loads"},
}
METHODS = {"load_checkpoint", "load_from_checkpoint", "read_pickle"}
"""Of engines: DeepSpeed's reads pickles."""
_CALL = re.compile(r"\b(open|\w*load\w*|read_pickle|Unpickler)\(")


def _calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """The dotted name of each function that is called, by its module's own name."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {a.asname or a.name.partition(".")[0]: a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            head, _, rest = ast.unparse(node.func).partition(".")
            full = names.get(head, head)
            yield f"{full}.{rest}" if rest else full, node


def _is_safe(name: str, call: ast.Call) -> bool:
    given = {item.arg: ast.unparse(item.value) for item in call.keywords}
    if name == "numpy.load":
        return given.get("allow_pickle") == "False"
    if name == "yaml.load":
        loader = given.get("Loader") or (ast.unparse(call.args[1]) if len(call.args) > 1 else "")
        return "Safe" in loader
    return False


def test_no_code_of_ours_reads_a_pickle() -> None:
    found = []
    for package in ("platform", "objectives", "strategies"):
        for path in (ROOT / package).rglob("*.py"):
            file, text = path.relative_to(ROOT).as_posix(), path.read_text()
            for name, call in _calls(ast.parse(text if _CALL.search(text) else "")):
                unsafe = name in READERS and not _is_safe(name, call)
                unsafe |= name.rpartition(".")[2] in METHODS
                if unsafe and name not in ALLOWED.get(file, ()):
                    found.append(f"{file}:{call.lineno} {name}")
    assert found == []


def test_the_search_finds_what_it_looks_for() -> None:
    text = (
        "import numpy as np, torch\nfrom pickle import loads as read\n"
        "read(b'')\ntorch.load('x')\nnp.load('x')\nengine.load_checkpoint('x')\n"
        "np.load('x', allow_pickle=False)\n"
    )
    found = [name for name, call in _calls(ast.parse(text)) if not _is_safe(name, call)]
    assert found == ["pickle.loads", "torch.load", "numpy.load", "engine.load_checkpoint"]


class Trap:
    """Unpickling it leaves a file."""

    def __init__(self, sprung: str) -> None:
        self.sprung = sprung

    def __reduce__(self) -> Any:
        return os.mkdir, (self.sprung,)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    folder = tmp_path_factory.mktemp("trapped")
    job = {
        "name": "trapped",
        "data": {"source": "digits", "batch_size": 512, "validation": 0.2},
        "model": "mlp",
        "objective": "cross_entropy",
        "training": {"epochs": 1},
        "cluster": {"workers": 0},
        "tracking": {"enabled": False},
        "storage": str(folder / "runs"),
    }
    return Path(run_job(load(job)).storage)


@pytest.mark.slow
def test_a_pickle_in_the_place_of_any_file_is_never_loaded(run: Path, tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    trap = pickle.dumps(Trap(str(sprung)))
    pickle.loads(trap)  # it would work
    sprung.rmdir()
    npy = tmp_path / "trap.npy"
    np.save(npy, np.array([Trap(str(sprung))]), allow_pickle=True)
    files = [path for path in run.rglob("*") if path.is_file()]
    assert {"manifest.json", "run.json", "resolved.json"} <= {path.name for path in files}
    for path in files:
        before = path.read_bytes()
        for content in (trap, npy.read_bytes()):
            path.write_bytes(content)
            _use(Folder(str(run)))
        path.write_bytes(before)
    assert not sprung.exists()
    assert evaluate_run(Folder(str(run))).metrics


def _use(folder: Folder) -> None:
    overview(Folder(folder.url.rpartition("/")[0]))
    list(read_all(folder))
    for use in (evaluate_run, export_run, plot_run):
        try:
            use(folder)
        except TrainwrightError:
            continue
