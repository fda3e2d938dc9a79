"""``import trainwright``: light, lazy, complete."""

from __future__ import annotations

import importlib
import json
import resource
import subprocess
import sys

import pytest

import trainwright

HOMES = {name: home for home, names in trainwright._HOMES.items() for name in names}
HEAVY = ("torch", "ray", "mlflow", "deepspeed", "pydantic", "fsspec", "numpy", "rich", "typer")


def _python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout


def test_importing_it_loads_no_library() -> None:
    code = f"import trainwright, sys; print([n for n in {HEAVY!r} if n in sys.modules])"
    assert _python(code).strip() == "[]"


def test_importing_it_takes_less_than_half_a_second_of_processor_time() -> None:
    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        _python("import trainwright")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(3)) < 0.5


@pytest.mark.parametrize("name", [n for n in trainwright.__all__ if n != "__version__"])
def test_every_public_name_is_there_and_known_at_its_home(name: str) -> None:
    value = getattr(trainwright, name)
    home = importlib.import_module(HOMES[name])
    assert value is getattr(home, name)
    assert value.__doc__


def test_the_names_and_their_homes_are_the_same_lists() -> None:
    assert set(HOMES) | {"__version__"} == set(trainwright.__all__)
    assert dir(trainwright) == sorted(trainwright.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        trainwright.trian  # noqa: B018


def test_the_errors_and_verbs_need_no_torch() -> None:
    code = (
        "import json, sys, trainwright\n"
        "for name in ('run', 'validate', 'list_runs', 'export', 'sync', 'create', 'Job',\n"
        "             'InputError', 'SyncReport', 'RunOverview'):\n"
        "    getattr(trainwright, name)\n"
        "print(json.dumps([n for n in ('torch', 'ray', 'mlflow') if n in sys.modules]))"
    )
    assert json.loads(_python(code)) == []


def test_create_makes_a_plugin() -> None:
    loss = trainwright.create("objectives", "z_loss", a=2.0)
    assert loss.a == 2.0
    with pytest.raises(trainwright.PluginError):
        trainwright.create("objectives", "z_loss", aa=2.0)
