"""The look from inside a cluster: what it finds, and how that comes out of a log again."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainwright.doctor import Finding
from trainwright.job.models import ClusterSpec
from trainwright.submission.parcel import JOB, ORDERS, Need, Orders, Parcel
from trainwright.submission.probe import PROBE_MODULE, Hearing, Questions, looking
from trainwright.submission.probe.nodes import check_room, judged, summed_up
from trainwright.submission.probe.room import check_cuda, check_folders
from trainwright.submission.probe.telling import tell, tell_end
from trainwright.submission.probe.versions import check_versions, compared, versions_here

CONTENT = b"""
name: small
data: {source: digits, batch_size: 64}
model: mlp
objective: cross_entropy
storage: runs
cluster: {workers: 0}
"""


def heard(text: str) -> tuple[list[Finding], Hearing]:
    hearing = Hearing()
    found = [hearing.hear(line) for line in text.splitlines()]
    return [finding for finding in found if finding is not None], hearing


@settings(max_examples=20)
@given(
    st.lists(
        st.builds(
            Finding, st.text(), st.sampled_from(["ok", "note", "stop"]), st.text(), st.text()
        ),
        max_size=4,
    )
)
def test_findings_come_out_of_a_log_as_they_went_in(findings: list[Finding]) -> None:
    log = io.StringIO()
    for finding in findings:
        log.write("(pid=12) something else\n")
        tell(log, finding)
    tell_end(log)
    found, hearing = heard(log.getvalue())
    assert found == findings
    assert hearing.is_over
    assert set(hearing.others) <= {"(pid=12) something else"}


def test_half_a_line_is_no_finding_and_without_an_end_it_is_not_over() -> None:
    log = io.StringIO()
    tell(log, Finding("storage", "ok", "works"))
    found, hearing = heard(log.getvalue()[:-9])
    assert found == []
    assert not hearing.is_over


def test_secrets_are_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE_PASSWORD", "hunter22hunter22")
    log = io.StringIO()
    tell(log, Finding("storage", "stop", "s3://me:abcdefgh@host refused hunter22hunter22"))
    assert "hunter22" not in log.getvalue()
    assert "abcdefgh" not in log.getvalue()


@pytest.mark.parametrize(
    ("log", "says"),
    [
        (
            "Error while finding module specification for 'trainwright.submission.inside.probe' "
            "(ModuleNotFoundError: No module named 'trainwright')",
            "has no trainwright",
        ),
        ("python: No module named trainwright.submission.inside.probe", "has an older trainwright"),
        ("sh: 1: python: not found", "there is no Python"),
        ("  File x.py, in trainwright\nModuleNotFoundError: No module named 'torch'", "'torch'"),
        ("", "killed for its memory, and wrote nothing"),
    ],
)
def test_why_a_probe_broke_off(log: str, says: str) -> None:
    finding = heard(log)[1].broken_off("killed for its memory")
    assert finding.state == "stop"
    assert says in finding.says
    assert finding.mend


@pytest.mark.parametrize(
    ("name", "there", "here", "state"),
    [
        ("trainwright", "0.1.0", "0.1.0", "ok"),
        ("trainwright", "0.1.1", "0.1.0", "note"),
        ("ray", "2.60.1", "2.60.0", "ok"),
        ("ray", "2.61.0", "2.60.0", "note"),
        ("torch", "2.9.0", "2.13.0", "ok"),
        ("ray", "2.60.0", None, "ok"),
    ],
)
def test_versions_are_compared(name: str, there: str, here: str | None, state: str) -> None:
    finding = compared(name, there, here)
    assert finding.state == state
    assert there in finding.says
    assert bool(finding.mend) == (state != "ok")


def test_a_library_out_of_its_range_stops_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {finding.state for finding in check_versions(versions_here())} == {"ok"}
    monkeypatch.setattr(
        "trainwright.doctor.versions.requires", lambda name: ["torch>=999", "surely-not-there>=1"]
    )
    found = {finding.name: finding for finding in check_versions({})}
    assert found["torch"].state == found["surely-not-there"].state == "stop"
    assert "in its image" in found["torch"].mend


def test_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"total": 64e6, "free": 8e9}
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), sizes))
    temporary, shared = check_folders(tmp_path, tmp_path)
    assert (temporary.state, shared.state) == ("ok", "note")
    assert "--shm-size" in shared.mend
    sizes.update(total=8e9, free=0.1e9)
    temporary, shared = check_folders(tmp_path, tmp_path)
    assert (temporary.state, shared.state) == ("stop", "ok")
    monkeypatch.undo()
    temporary, shared = check_folders(tmp_path / "none", tmp_path / "none")
    assert (temporary.state, shared.state) == ("stop", "note")
    assert "emptyDir" in temporary.mend


def test_a_cpu_build_of_torch_stops_a_run_on_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.version, "cuda", None)
    assert check_cuda(wanted=False).state == "ok"
    assert check_cuda(wanted=True).state == "stop"
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    assert check_cuda(wanted=True) == Finding(
        "gpu", "ok", "none in this process; torch is built for CUDA 12.8"
    )


@pytest.mark.parametrize(
    ("workers", "free", "state"), [(2, 4.0, "ok"), (4, 1.0, "note"), (5, 4.0, "stop")]
)
def test_room_for_the_workers(workers: int, free: float, state: str) -> None:
    (finding,) = check_room(ClusterSpec(workers=workers), {"CPU": 4.0}, {"CPU": free})
    assert finding.state == state
    assert bool(finding.mend) == (state != "ok")


def node(address: str, **resources: float) -> dict[str, Any]:
    return {"NodeManagerAddress": address, "Resources": resources}


def test_what_is_wrong_with_nodes_is_told_once() -> None:
    well = {"version": versions_here()["trainwright"], "gpus": 2, "missing": ""}
    cases = [
        (node("a", GPU=2.0), well),
        (node("b", GPU=4.0), well),
        (node("c"), {**well, "missing": "FileNotFoundError: x"}),
        (node("d"), {**well, "missing": "FileNotFoundError: x"}),
        (node("e"), {**well, "version": "0.0.1"}),
    ]
    found = list(summed_up([(where, judged(saw, where)) for where, saw in cases]))
    assert [finding.state for finding in found] == ["ok", "stop", "stop", "stop"]
    assert found[0].says == "1 node of 5 ran a task and found nothing wrong"
    assert "b: is to have 4 GPU, but torch sees 2" in found[1].says
    assert found[2].says.startswith("c, d: does not see")
    assert "s3://" in found[2].mend
    assert "0.0.1" in found[3].says


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without what takes seconds and is tested elsewhere."""
    monkeypatch.setattr(looking, "check_plugins", lambda: [])
    monkeypatch.setattr(looking, "check_deepspeed", lambda: Finding("import deepspeed", "ok", ""))


def look(folder: Path, orders: Orders | None, **questions: Any) -> dict[str, Finding]:
    """What is found in a folder to which the questions, and the job with ``orders``, travelled."""
    parcel = None
    if orders is not None:
        files = {JOB: CONTENT, ORDERS: orders.to_bytes()}
        parcel = Parcel("small", files, Need(0, 1.0, 0.0))
    Questions(versions=versions_here(), **questions).packed(parcel).write(folder)
    return {finding.name: finding for finding in looking.look(folder)}


@pytest.mark.usefixtures("_quick")
def test_a_job_and_its_places_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLACE", "is what travels")
    orders = Orders(("storage=${PLACE}/runs",), {"PLACE": str(tmp_path)})
    found = look(tmp_path, orders)
    assert {finding.state for finding in found.values()} <= {"ok", "note"}
    assert "would run as small-" in found["job"].says
    assert str(tmp_path / "runs") in found["storage"].says
    assert not (tmp_path / "runs").exists()


@pytest.mark.usefixtures("_quick")
def test_a_job_whose_data_is_not_there(tmp_path: Path) -> None:
    found = look(tmp_path, Orders((f"storage={tmp_path}/runs", "data.source=/nowhere/a.csv")))
    assert found["storage"].state == "ok"
    assert found["job"].state == "stop"
    assert "/nowhere/a.csv" in found["job"].says
    assert found["job"].mend


@pytest.mark.usefixtures("_quick")
def test_a_job_that_cannot_be_read_there(tmp_path: Path) -> None:
    found = look(tmp_path, Orders(("storage=${UNKNOWN_THERE}/runs",)))
    assert found["job"].state == "stop"
    assert "UNKNOWN_THERE" in found["job"].says
    assert "storage" not in found


@pytest.mark.usefixtures("_quick")
def test_without_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = look(tmp_path, None)
    assert (found["storage"].state, "--storage URL" in found["storage"].mend) == ("note", True)
    assert "mlflow server" not in found
    found = look(tmp_path, None, storage=str(tmp_path / "runs"))
    assert found["storage"].state == found["mlflow server"].state == "ok"
    found = look(tmp_path, None, storage="nonsense://there", tracking="http://127.0.0.1:9")
    assert found["storage"].state == "stop"
    assert found["storage"].mend


@pytest.mark.usefixtures("_quick")
def test_a_check_that_fails_does_not_end_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> list[Finding]:
        raise OSError("the disk is on fire")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(looking, "check_plugins", fail)
    found = look(tmp_path, None, storage=str(tmp_path / "runs"))
    assert found["plugins"].state == "stop"
    assert "on fire" in found["plugins"].says
    assert found["storage"].state == "ok"


def test_a_look_that_never_ends_is_ended(tmp_path: Path) -> None:
    code = """
import time
from trainwright.doctor import Finding
from trainwright.submission.inside import probe
def look(folder):
    yield Finding("memory", "ok", "")
    time.sleep(1000)
probe.look = look
probe.main(longest_s=0.1)
"""
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    found, hearing = heard(ended.stdout)
    assert hearing.is_over
    assert [finding.state for finding in found] == ["ok", "stop"]
    assert "what follows memory" in found[1].says


@pytest.mark.slow
def test_the_module_as_a_process(tmp_path: Path) -> None:
    Questions(versions_here(), str(tmp_path / "runs")).packed(None).write(tmp_path)
    command = [sys.executable, "-m", PROBE_MODULE]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    found, hearing = heard(ended.stdout)
    assert hearing.is_over
    assert {"python", "ray", "plugins", "import deepspeed", "storage"} <= {f.name for f in found}
    assert {finding.state for finding in found} <= {"ok", "note"}
