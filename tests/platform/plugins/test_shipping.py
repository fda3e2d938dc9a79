"""Plugin files for the run's name, and their way to a worker on another machine."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import textwrap

import pytest

from trainwright.plugins import create, find, install_plugin_files, plugin_files


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def files(job):
    job("package/__init__.py", "")
    job("package/part.py", "VALUE = 1\n")
    job("lazy.py", "VALUE = 2\n")
    job("unused.py", "VALUE = 3\n")
    job("second.py", "class Strategy:\n    pass\n")
    job(
        "losses.py",
        """
        from package.part import VALUE

        class Loss:
            value = VALUE

            def later(self):
                import lazy
                return lazy.VALUE
        """,
    )
    return job.base


def test_what_a_plugin_imports_now_or_later_belongs_to_it(files):
    loss = find("objectives", "losses.py:Loss", files)
    find("strategies", "second.py:Strategy", files)
    found = plugin_files(files, [loss])
    assert list(found) == ["lazy.py", "losses.py", "package/__init__.py", "package/part.py"]
    assert found["lazy.py"] == b"VALUE = 2\n"


def test_without_a_list_everything_loaded_counts(files):
    find("objectives", "losses.py:Loss", files)
    find("strategies", "second.py:Strategy", files)
    assert "second.py" in plugin_files(files)
    assert "unused.py" not in plugin_files(files)


def test_installed_plugins_have_no_files(files):
    assert plugin_files(files, [find("objectives", "mse"), find("optimizers", "adamw")]) == {}


def test_the_contents_are_those_that_were_loaded(files):
    loss = find("objectives", "losses.py:Loss", files)
    (files / "package/part.py").write_text("VALUE = 9\n")
    assert plugin_files(files, [loss])["package/part.py"] == b"VALUE = 1\n"
    loss = find("objectives", "losses.py:Loss", files)
    assert plugin_files(files, [loss])["package/part.py"] == b"VALUE = 9\n"


def test_a_worker_that_has_the_files_uses_them_in_place(files):
    contents = plugin_files(files, [find("objectives", "losses.py:Loss", files)])
    assert install_plugin_files(contents, files) == files


def test_another_machine_gets_a_folder_of_its_own(files, tmp_path, cache):
    contents = plugin_files(files, [find("objectives", "losses.py:Loss", files)])
    elsewhere = tmp_path / "elsewhere"
    folder = install_plugin_files(contents, elsewhere)
    assert folder.is_relative_to(cache)
    assert install_plugin_files(contents, elsewhere) == folder
    made = create("objectives", "losses.py:Loss", folder)
    assert (made.value, made.later()) == (1, 2)
    changed = install_plugin_files({**contents, "lazy.py": b"VALUE = 5\n"}, elsewhere)
    assert changed != folder
    assert create("objectives", "losses.py:Loss", changed).later() == 5


def test_a_damaged_folder_is_written_anew(files, tmp_path):
    contents = plugin_files(files, [find("objectives", "losses.py:Loss", files)])
    folder = install_plugin_files(contents, tmp_path / "elsewhere")
    (folder / "lazy.py").write_text("VALUE = 'damaged'\n")
    assert install_plugin_files(contents, tmp_path / "elsewhere") == folder
    assert (folder / "lazy.py").read_bytes() == b"VALUE = 2\n"


@pytest.mark.parametrize("name", ["../out.py", "/abs.py", "a/../../b.py"])
def test_paths_that_lead_out_are_refused(name, tmp_path):
    with pytest.raises(ValueError, match="leads out"):
        install_plugin_files({name: b""}, tmp_path / "elsewhere")


def test_a_home_that_cannot_be_written(files, tmp_path, monkeypatch):
    contents = plugin_files(files, [find("objectives", "losses.py:Loss", files)])
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the cache would be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    folder = install_plugin_files(contents, tmp_path / "elsewhere")
    assert create("objectives", "losses.py:Loss", folder).value == 1


def test_pickles_pass_between_the_driver_and_a_worker_elsewhere(files, tmp_path):
    """A real second process, whose copy of the files lies in its cache."""
    contents = plugin_files(files, [find("objectives", "losses.py:Loss", files)])
    made = create("objectives", "losses.py:Loss", files)
    (tmp_path / "in.pickle").write_bytes(pickle.dumps((contents, str(files), made)))
    script = textwrap.dedent(
        """
        import pickle, pickletools, sys
        from pathlib import Path
        from trainwright.plugins import find, install_plugin_files
        raw = Path(sys.argv[1]).read_bytes()
        contents, base = None, Path(sys.argv[2])
        contents = {p.relative_to(base).as_posix(): p.read_bytes() for p in base.rglob("*.py")}
        for path in list(base.rglob("*.py")):
            path.rename(path.with_suffix(".gone"))
        folder = install_plugin_files(contents, base)
        assert folder != base
        find("objectives", "losses.py:Loss", folder)
        loaded = pickle.loads(raw)[2]
        assert loaded.later() == 2
        Path(sys.argv[3]).write_bytes(pickle.dumps(loaded))
        """
    )
    subprocess.run(
        [sys.executable, "-c", script, tmp_path / "in.pickle", files, tmp_path / "out.pickle"],
        check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert type(pickle.loads((tmp_path / "out.pickle").read_bytes())) is type(made)
