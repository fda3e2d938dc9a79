"""Code that comes with a run: integrity first, then whether this user knows it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trainwright.errors import InputError, RunError
from trainwright.orchestration.kept_plugins import keep_plugin_files
from trainwright.orchestration.run_code import RunCode, base_of
from trainwright.runs import RunRecord
from trainwright.storage import Folder
from trainwright.training.saving import digests

FILES = {"mine.py": b"import os\n", "inner/more.py": b"x = 1\n"}
JOB: dict[str, Any] = {"model": {"name": "mine.py:Net"}, "data": {"source": "flowers.parquet"}}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user who never ran anything."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """The folder of the job, empty."""
    (tmp_path / "job").mkdir()
    return tmp_path / "job"


def run_of(tmp_path: Path, beside: Path, files: dict[str, bytes]) -> Folder:
    folder = Folder(str(tmp_path / "runs" / "a-1"))
    RunRecord("a-1", base=str(beside)).save(folder)
    keep_plugin_files(folder, files)
    return folder


def state(files: dict[str, bytes], job: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"job": job or JOB, "plugin_files": digests(files)}


def test_unknown_code_is_refused_until_the_user_says_so(tmp_path: Path, beside: Path) -> None:
    folder = run_of(tmp_path, beside, FILES)
    with pytest.raises(InputError) as caught:
        base_of(folder, state(FILES))
    told = str(caught.value)
    assert "inner/more.py" in told
    assert "mine.py" in told
    assert "--trust-run-code" in told
    base = base_of(folder, state(FILES), trusted=True)
    assert (base / "mine.py").read_bytes() == FILES["mine.py"]
    assert base_of(folder, state(FILES)) == base, "said once for good"


def test_code_that_this_user_ran_is_known_also_when_it_was_edited_since(
    tmp_path: Path, beside: Path
) -> None:
    folder = run_of(tmp_path, beside, FILES)
    RunCode.of(JOB, FILES).remember()
    (beside / "mine.py").write_bytes(b"edited")
    assert (base_of(folder, state(FILES)) / "mine.py").read_bytes() == FILES["mine.py"]


def test_the_same_files_beside_the_job_are_known(tmp_path: Path, beside: Path) -> None:
    folder = run_of(tmp_path, beside, FILES)
    (beside / "inner").mkdir()
    for name, content in FILES.items():
        (beside / name).write_bytes(content)
    assert base_of(folder, state(FILES)) == beside
    (beside / "mine.py").write_bytes(b"edited")
    with pytest.raises(InputError):
        base_of(folder, state(FILES))


@pytest.mark.parametrize(
    ("kept", "told"),
    [
        ({**FILES, "mine.py": b"evil"}, "mine.py was changed"),
        ({"mine.py": FILES["mine.py"]}, "inner/more.py is missing"),
        ({**FILES, "evil.py": b""}, "evil.py was added"),
    ],
)
def test_files_that_differ_from_the_manifest_are_never_run(
    tmp_path: Path, beside: Path, kept: dict[str, bytes], told: str
) -> None:
    folder = run_of(tmp_path, beside, kept)
    RunCode.of(JOB, kept).remember()
    for trusted in (False, True):
        with pytest.raises(RunError, match=told):
            base_of(folder, state(FILES), trusted)


@pytest.mark.parametrize(
    "name", ["os.system", "subprocess:Popen", "torch.nn.Linear", "/tmp/evil.py:Net", "x.py:Net"]
)
def test_import_paths_and_other_files_are_code_too(tmp_path: Path, beside: Path, name: str) -> None:
    """Whoever writes the job in a checkpoint can name anything that is installed here."""
    job = {**JOB, "strategies": [{"name": "a", "options": {"inner": [name]}}]}
    folder = run_of(tmp_path, beside, FILES)
    RunCode.of(JOB, FILES).remember()
    with pytest.raises(InputError, match=name):
        base_of(folder, state(FILES, job))


@pytest.mark.parametrize("text", ["flowers.parquet", "a b.c", "s3://b/x.csv", "mlp", "1.5", ""])
def test_what_names_no_code_needs_no_trust(tmp_path: Path, beside: Path, text: str) -> None:
    job = {"model": {"name": "mlp"}, "data": {"source": text}}
    assert base_of(run_of(tmp_path, beside, {}), state({}, job)) == beside


@pytest.mark.parametrize("name", ["../../secret.py", "/etc/passwd", 3, "notes.txt"])
def test_nothing_outside_of_the_folder_is_read(tmp_path: Path, beside: Path, name: Any) -> None:
    folder = run_of(tmp_path, beside, FILES)
    folder.write_json("plugins/index.json", [name])
    with pytest.raises(RunError, match="are damaged"):
        base_of(folder, state(FILES))
