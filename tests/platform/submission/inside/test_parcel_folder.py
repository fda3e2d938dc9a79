"""Where a parcel is run: the folder that Ray gives is not there for sure."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from trainwright.submission.inside.__main__ import read_orders
from trainwright.submission.parcel import JOB, Orders


def test_another_node_of_the_machine_unpacks_the_parcel_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray deletes the folder then, and makes one of the same name."""
    parcel = tmp_path / "parcel"
    (parcel / JOB).parent.mkdir(parents=True)
    (parcel / JOB).write_text("name: it")
    (parcel / "submission.json").write_bytes(Orders(("seed=1",), {"A": "b"}).to_bytes())
    monkeypatch.chdir(parcel)
    assert read_orders() == Orders(("seed=1",), {"A": "b"})
    copy = shutil.copytree(parcel, tmp_path / "copy")
    shutil.rmtree(parcel)
    assert Path(os.getcwd()).is_dir()
    copy.rename(parcel)
    assert Path(JOB).read_text() == "name: it"
    assert Path(JOB).resolve() == parcel / JOB, "plugin files lie there on every node"
